"""Aims of the comparison, the idle platform and the real engine."""

from collections.abc import Iterator, Sequence

from bench.compare.comparison import Row
from bench.compare.engine import EngineRow, share_of_direct
from bench.compare.idle import IdleReport
from bench.compare.ratios import (
    IN_STEP,
    JSON_64,
    JSON_200,
    ONE_JSON,
    STREAMS_32,
    STREAMS_64,
    Ratios,
)
from bench.figures.aims import Aim, at_least, at_most


def of_comparison(rows: Sequence[Row]) -> Iterator[Aim]:
    mock = Ratios(rows)
    for load, words, p50, p99 in (
        (ONE_JSON, "one JSON request alone", 3, 8),
        (JSON_200, "200 JSON requests/s", 3.5, 10),
    ):
        yield at_most(f"{words}: added p50", mock.added(load, "p50_ms"), "ms", p50)
        yield at_most(f"{words}: added p99", mock.added(load, "p99_ms"), "ms", p99)
    for load, words, limit in ((STREAMS_32, "not in step", 4), (IN_STEP, "in step", 8)):
        text = f"32 streams, {words}: added time to first token, p50"
        yield at_most(text, mock.added(load, "ttft_p50_ms"), "ms", limit)
    gap = mock.metric(STREAMS_32, "gap_p99_ms")
    yield at_most("32 streams of 20 ms per token: gap between tokens, p99", gap, "ms", 24)
    for load, words, faster, cheaper, cpu in (
        (JSON_64, "64 JSON requests", 20, 17, 0.55),
        (STREAMS_64, "64 streams", 23, 10, 2.2),
    ):
        text = f"{words} at once: requests/s against LiteLLM"
        yield at_least(text, mock.faster(load), "x", faster)
        text = f"{words} at once: LiteLLM's CPU per request against ours"
        yield at_least(text, mock.cheaper(load), "x", cheaper)
        yield at_most(f"{words} at once: CPU per request", mock.cpu(load), "ms", cpu)
    ours = [row for row in rows if row.target == "Forebay"]
    text = f"bad answers of {sum(row.all for row in ours):,}"
    yield at_most(text, sum(row.bad for row in ours) if ours else None, "", 0)


def of_idle(report: IdleReport) -> Iterator[Aim]:
    yield at_most("idle platform: CPU in percent of one core", report.total, "%", 1.5)


def of_engine(rows: Sequence[EngineRow]) -> Iterator[Aim]:
    for streams, words, limit in ((1, "1 stream", 0.97), (16, "16 streams", 0.98)):
        share = share_of_direct(rows, streams)
        yield at_least(f"real engine, {words}: tokens/s against direct", share, "x", limit)
