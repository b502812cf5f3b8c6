"""Targets under the same loads, taking turns in short slices.

The machine is shared and noisy, so targets alternate inside each round, and medians over the
rounds are compared.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.figures import difference, median, ratio, tell
from bench.load.generator import LoadReport, total
from bench.servers.processes import cpu_ms_since
from bench.servers.targets import MockEngine, Target, send

TOKENS = 64
METRICS: tuple[str, ...] = ("rps", "tokens_per_s", "p50_ms", "p99_ms", "max_ms")
METRICS += ("ttft_p50_ms", "ttft_p99_ms", "gap_p99_ms", "engine_p50_ms", "engine_p99_ms")
METRICS += ("generator_cpu_ms",)


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load: settings of bench/load/, and those of the mock engine.

    `interval_ms` is between two tokens of it.
    """

    name: str
    stream: bool = False
    concurrency: int = 0
    rate: float = 0.0
    spread: float = 0.0
    prompt_bytes: int = 0
    warmup: float = 0.5
    grace: float = 20.0
    tokens: int | None = TOKENS
    interval_ms: float = 2.0

    def settings(self) -> dict[str, Any]:
        settings = asdict(self)
        del settings["name"], settings["interval_ms"]
        return settings


ONE_JSON, JSON_64, JSON_200 = "json c=1", "json c=64", "json 200/s"
STREAMS_64, STREAMS_32, IN_STEP = "sse 2 ms c=64", "sse 20 ms c=32", "sse 20 ms c=32 in step"
LOADS = (
    Load(ONE_JSON, concurrency=1),
    Load("json c=16", concurrency=16),
    Load(JSON_64, concurrency=64),
    Load(JSON_200, rate=200),
    Load("sse 2 ms c=1", stream=True, concurrency=1),
    Load("sse 2 ms c=16", stream=True, concurrency=16),
    Load(STREAMS_64, stream=True, concurrency=64),
    Load(STREAMS_32, stream=True, concurrency=32, interval_ms=20, spread=1.3),
    Load(IN_STEP, stream=True, concurrency=32, interval_ms=20),
)


@dataclass(slots=True)
class Row:
    """Medians over the rounds of one target under one load; `bad` and `all` are sums."""

    load: str
    target: str
    all: int
    bad: int
    wrong: list[str]
    cpu_ms: float | None
    cpu_by_role: dict[str, float]
    metrics: dict[str, float | None]
    rounds: list[dict[str, Any]]

    def __getitem__(self, metric: str) -> float | None:
        return self.metrics[metric]


class Comparison:
    """Figures by load and target. Each is None where it was not measured."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = {(row.load, row.target): row for row in rows}

    def metric(self, load: str, name: str, target: str = "Forebay") -> float | None:
        row = self.rows.get((load, target))
        return row[name] if row is not None else None

    def cpu(self, load: str, target: str = "Forebay") -> float | None:
        """Milliseconds per request."""
        row = self.rows.get((load, target))
        return row.cpu_ms if row is not None else None

    def added(self, load: str, name: str, target: str = "Forebay") -> float | None:
        """Returns the figure less that of the engine alone, which adds none itself."""
        ours = self.metric(load, name, target) if target != "direct" else None
        return difference(ours, self.metric(load, name, "direct"))

    def times(
        self, load: str, name: str = "rps", target: str = "Forebay", other: str = "LiteLLM"
    ) -> float | None:
        """Returns the figure as a multiple of the other target's."""
        return ratio(self.metric(load, name, target), self.metric(load, name, other))

    def cheaper(self, load: str) -> float | None:
        """LiteLLM's CPU per request as a multiple of ours."""
        return ratio(self.cpu(load, "LiteLLM"), self.cpu(load))


def compare(
    mock: MockEngine | None,
    targets: Sequence[Target],
    rounds: int,
    seconds: float,
    loads: Sequence[Load] = LOADS,
) -> list[Row]:
    """A row for each load and target, in that order. Each second round goes backwards."""
    slices: dict[tuple[str, str], list[LoadReport]] = defaultdict(list)
    for number in range(rounds):
        for load in loads:
            if mock is not None:
                mock.control(tokens=TOKENS, interval_ms=load.interval_ms, fail=None)
            for target in targets[:: -1 if number % 2 else 1]:
                tell(f"round {number + 1}/{rounds}: {load.name}, {target.name}")
                slices[load.name, target.name].append(measure_slice(target, load, seconds))
    return [summary(load, target, several) for (load, target), several in slices.items()]


def measure_slice(target: Target, load: Load, seconds: float) -> LoadReport:
    before = target.use()
    options = target.options(seconds=seconds, max_tokens=TOKENS, **load.settings())
    report = send(options, target.generator)
    good = max(report.all - report.bad, 1)
    cpu_ms = cpu_ms_since(before, target.use())
    report.cpu_ms = {name: ms / good for name, ms in cpu_ms.items()}
    return report


def summary(load: str, target: str, reports: Sequence[LoadReport]) -> Row:
    roles = sorted({name for one in reports for name in one.cpu_ms})
    return Row(
        load=load,
        target=target,
        **total(reports),
        cpu_ms=median(sum(one.cpu_ms.values()) for one in reports if one.cpu_ms),
        cpu_by_role={n: median(one.cpu_ms.get(n) for one in reports) or 0.0 for n in roles},
        metrics={name: median(getattr(r, name) for r in reports) for name in METRICS},
        rounds=[{name: getattr(r, name) for name in METRICS} for r in reports],
    )
