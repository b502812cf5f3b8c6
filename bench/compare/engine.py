"""The embedded llama.cpp with a real model: asked directly, and through Forebay."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.compare.comparison import METRICS, tell
from bench.figures.statistics import median, ratio
from bench.load.generator import LoadReport, Options
from bench.servers.forebay import Forebay
from bench.servers.targets import Target, send
from inference.pools import entries

STREAMS = (1, 16)
MAX_TOKENS = 64


@dataclass(slots=True)
class EngineRow:
    """Medians over the rounds of one target at so many streams."""

    streams: int
    target: str
    all: int
    bad: int
    wrong: list[str]
    metrics: dict[str, float | None]

    def __getitem__(self, metric: str) -> float | None:
        return self.metrics[metric]


def measure(folder: Path, rounds: int, seconds: float) -> list[EngineRow]:
    """Starts a Forebay with its embedded engine, and stops it."""
    forebay = Forebay(folder)
    try:
        direct = direct_target(forebay)
        return compare([direct, forebay.target(direct.model)], rounds, seconds)
    finally:
        forebay.stop()


def direct_target(forebay: Forebay) -> Target:
    """The engine behind the running platform, as the supervisor describes it."""
    first, *_ = entries(json.loads(forebay.running()["FOREBAY_ENGINES"]))
    url = first.fields["url"].rstrip("/").removesuffix("/v1") + "/v1"
    return Target("direct", url, first.fields.get("api_key") or "none", first.model, dict)


def compare(targets: Sequence[Target], rounds: int, seconds: float) -> list[EngineRow]:
    rows = []
    for target in targets:
        send(options(target, max(STREAMS), seconds=2.0))
    for streams in STREAMS:
        reports: dict[str, list[LoadReport]] = {target.name: [] for target in targets}
        for number in range(rounds):
            for target in targets if number % 2 == 0 else reversed(targets):
                tell(f"engine round {number + 1}/{rounds}: {streams} streams, {target.name}")
                reports[target.name].append(send(options(target, streams, seconds)))
        rows += [summary(streams, name, several) for name, several in reports.items()]
    return rows


def options(target: Target, streams: int, seconds: float) -> Options:
    return Options(
        url=target.url,
        key=target.key,
        model=target.model,
        stream=True,
        concurrency=streams,
        seconds=seconds,
        warmup=1.0,
        grace=60.0,
        max_tokens=MAX_TOKENS,
    )


def summary(streams: int, name: str, reports: list[LoadReport]) -> EngineRow:
    return EngineRow(
        streams=streams,
        target=name,
        all=sum(report.all for report in reports),
        bad=sum(report.bad for report in reports),
        wrong=sorted({text for report in reports for text in report.wrong}),
        metrics={name: median(getattr(r, name) for r in reports) for name in METRICS},
    )


def share_of_direct(rows: Sequence[EngineRow], streams: int) -> float | None:
    """Tokens/s through Forebay as a part of the engine's own."""
    speed = {row.target: row["tokens_per_s"] for row in rows if row.streams == streams}
    return ratio(speed.get("Forebay"), speed.get("direct"))
