"""The time until an engine has a request, which says in its prompt when it was sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.figures import Aim, cell, median, paragraphs, percentile, table, tell
from bench.servers.forebay import forebay_on_mock_engine
from bench.servers.targets import MockEngine, Target, send

RATE, TOKENS = 200, 8
WARMUP_S = 1.5
METHOD = f"""\
{RATE} JSON requests/s at even distances, medians over the rounds. The time is from the client's
write until the mock engine has read the request (both on one clock): it holds HTTP, key, limits,
the record in PostgreSQL, queue and runner. "Direct" is what client and engine take alone."""


@dataclass(slots=True)
class DispatchSlice:
    p50_ms: float | None
    p99_ms: float | None
    number: int
    bad: int


@dataclass(slots=True)
class DispatchReport:
    rounds: int
    seconds: float
    direct: list[DispatchSlice] = field(default_factory=list)
    through: list[DispatchSlice] = field(default_factory=list)


def median_of(slices: Sequence[DispatchSlice], metric: str) -> float | None:
    return median(getattr(one, metric) for one in slices)


def measure(rounds: int, seconds: float) -> DispatchReport:
    report = DispatchReport(rounds, seconds)
    with forebay_on_mock_engine() as (mock, forebay):
        mock.control(tokens=TOKENS, interval_ms=0, stamped=True)
        for number in range(rounds):
            tell(f"dispatch round {number + 1}/{rounds}")
            report.direct.append(_slice(mock, mock.target(), seconds))
            report.through.append(_slice(mock, forebay.target(), seconds))
    return report


def _slice(mock: MockEngine, target: Target, seconds: float) -> DispatchSlice:
    settings = {"rate": RATE, "warmup": 0.0, "tokens": TOKENS, "max_tokens": TOKENS}
    send(target.options(seconds=WARMUP_S, stamped=True, **settings))
    mock.delays()
    bad = send(target.options(seconds=seconds, stamped=True, **settings)).bad
    delays = mock.delays()
    return DispatchSlice(percentile(delays, 50), percentile(delays, 99), len(delays), bad)


def section(report: DispatchReport) -> str:
    head = ("until the engine has it", "p50 ms", "p99 ms", "requests", "bad")
    rows = [_cells("direct", report.direct), _cells("through Forebay", report.through)]
    return paragraphs(table(head, rows), METHOD)


def _cells(name: str, slices: Sequence[DispatchSlice]) -> tuple[str, ...]:
    figures = (median_of(slices, "p50_ms"), median_of(slices, "p99_ms"))
    counts = (sum(one.number for one in slices), sum(one.bad for one in slices))
    return (name, *map(cell, figures), *(f"{count:,}" for count in counts))


def aims(report: DispatchReport) -> Iterator[Aim]:
    for name, limit in (("p50", 5), ("p99", 20)):
        text = f"{RATE} requests/s: from the client until the engine has it, {name}"
        yield Aim(text, median_of(report.through, f"{name}_ms"), "ms", limit)
