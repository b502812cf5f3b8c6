"""Mock engine, LiteLLM, vllm-router and Forebay under the same loads, taking turns in short slices.

The machine is shared and noisy, so targets alternate inside each round, and medians over the
rounds are compared.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.figures.progress import tell
from bench.figures.statistics import median
from bench.load.generator import LoadReport
from bench.servers.targets import MockEngine, Target, send

T = TypeVar("T")
TOKENS = 64
METRICS = ("rps", "tokens_per_s", "p50_ms", "p99_ms", "ttft_p50_ms", "ttft_p99_ms", "gap_p99_ms")


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load; `interval_ms` is between two tokens of the mock engine.

    `spread` seconds until the last client of a closed loop has begun; 0: all begin at once.
    `prompt_bytes`: about, of the prompt; 0: some 200.
    """

    name: str
    stream: bool = False
    concurrency: int = 0
    rate: float = 0.0
    interval_ms: float = 2.0
    spread: float = 0.0
    prompt_bytes: int = 0


LOADS = (
    Load("json c=1", concurrency=1),
    Load("json c=16", concurrency=16),
    Load("json c=64", concurrency=64),
    Load("json 200/s", rate=200),
    Load("sse 2 ms c=1", stream=True, concurrency=1),
    Load("sse 2 ms c=16", stream=True, concurrency=16),
    Load("sse 2 ms c=64", stream=True, concurrency=64),
    Load("sse 20 ms c=32", stream=True, concurrency=32, interval_ms=20, spread=1.3),
    Load("sse 20 ms c=32 in step", stream=True, concurrency=32, interval_ms=20),
)


@dataclass(slots=True)
class Slice:
    """One measurement of one target; CPU in milliseconds per request, by role."""

    report: LoadReport
    cpu_ms: dict[str, float] = field(default_factory=dict)


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


def compare(
    mock: MockEngine,
    targets: Sequence[Target],
    rounds: int,
    seconds: float,
    loads: Sequence[Load] = LOADS,
) -> list[Row]:
    """A row for each load and target, in that order."""
    slices: dict[tuple[str, str], list[Slice]] = defaultdict(list)
    for number in range(rounds):
        for load in loads:
            mock.control(tokens=TOKENS, interval_ms=load.interval_ms, fail=None)
            for target in in_turns(targets, number):
                tell(f"round {number + 1}/{rounds}: {load.name}, {target.name}")
                slices[load.name, target.name].append(measure_slice(target, load, seconds))
    return [summary(load, target, several) for (load, target), several in slices.items()]


def in_turns(targets: Sequence[T], round_number: int) -> Iterable[T]:
    """Each second round goes backwards, so that no target is always first."""
    return targets if round_number % 2 == 0 else reversed(targets)


def measure_slice(target: Target, load: Load, seconds: float) -> Slice:
    before = target.use()
    options = target.options(
        stream=load.stream,
        concurrency=load.concurrency,
        rate=load.rate,
        spread=load.spread,
        seconds=seconds,
        max_tokens=TOKENS,
        tokens=TOKENS,
        prompt_bytes=load.prompt_bytes,
    )
    report = send(options, target.generator)
    after = target.use()
    good = max(report.all - report.bad, 1)
    cpu = {
        name: (use.cpu_ms - (before[name].cpu_ms if name in before else 0.0)) / good
        for name, use in after.items()
    }
    return Slice(report, cpu)


def summary(load: str, target: str, slices: list[Slice]) -> Row:
    reports = [one.report for one in slices]
    roles = {name for one in slices for name in one.cpu_ms}
    by_role = {name: median(one.cpu_ms.get(name) for one in slices) or 0.0 for name in roles}
    totals = [sum(one.cpu_ms.values()) for one in slices if one.cpu_ms]
    return Row(
        load=load,
        target=target,
        all=sum(report.all for report in reports),
        bad=sum(report.bad for report in reports),
        wrong=sorted({text for report in reports for text in report.wrong}),
        cpu_ms=median(totals),
        cpu_by_role=dict(sorted(by_role.items())),
        metrics={name: median(getattr(r, name) for r in reports) for name in METRICS},
        rounds=[{name: getattr(r, name) for name in METRICS} for r in reports],
    )
