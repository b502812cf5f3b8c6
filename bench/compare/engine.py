"""The embedded llama.cpp with a real model: asked directly, and through Forebay."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.compare.comparison import METRICS, in_turns
from bench.figures.progress import tell
from bench.figures.statistics import median, ratio
from bench.load.generator import LoadReport
from bench.servers.child import temporary_folder
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


@contextmanager
def forebay_on_llama_cpp(slots: int | None = None, context: int | None = None) -> Iterator[Forebay]:
    """A platform with its embedded engine, which runs while the context lasts."""
    sizes = {"FOREBAY_SLOTS": slots, "FOREBAY_CONTEXT": context}
    variables = {name: str(size) for name, size in sizes.items() if size}
    with temporary_folder() as folder:
        forebay = Forebay(folder, variables=variables)
        try:
            yield forebay
        finally:
            forebay.stop()


def measure(rounds: int, seconds: float) -> list[EngineRow]:
    with forebay_on_llama_cpp() as forebay:
        direct = direct_target(forebay)
        return compare([direct, forebay.target(direct.model)], STREAMS, rounds, seconds, grace=60.0)


def direct_target(forebay: Forebay) -> Target:
    """The engine behind the running platform, as the supervisor describes it."""
    first, *_ = entries(json.loads(forebay.running()["FOREBAY_ENGINES"]))
    url = first.fields["url"].rstrip("/").removesuffix("/v1") + "/v1"
    return Target("direct", url, first.fields.get("api_key") or "none", first.model, dict)


def compare(
    targets: Sequence[Target],
    stream_counts: Sequence[int],
    rounds: int,
    seconds: float,
    **settings: Any,
) -> list[EngineRow]:
    """Ask the targets in turns for streams; `settings` are further options of the load."""

    def measure_slice(target: Target, streams: int, seconds: float) -> LoadReport:
        options = target.options(
            stream=True, concurrency=streams, seconds=seconds, warmup=1.0, max_tokens=MAX_TOKENS,
            **settings,
        )  # fmt: skip
        return send(options)

    for target in targets:
        measure_slice(target, max(stream_counts), 2.0)
    rows = []
    for streams in stream_counts:
        reports: dict[str, list[LoadReport]] = {target.name: [] for target in targets}
        for number in range(rounds):
            for target in in_turns(targets, number):
                tell(f"engine round {number + 1}/{rounds}: {streams} streams, {target.name}")
                reports[target.name].append(measure_slice(target, streams, seconds))
        rows += [_summary(streams, name, several) for name, several in reports.items()]
    return rows


def _summary(streams: int, name: str, reports: list[LoadReport]) -> EngineRow:
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
