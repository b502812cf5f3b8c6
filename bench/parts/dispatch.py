"""The time until an engine has a request.

Requests at a constant rate go to a mock engine that answers at once, directly and through Forebay
in turns. Each says in its prompt when it was sent; the engine notes how long ago that was.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.figures.aims import Aim, at_most
from bench.figures.progress import tell
from bench.figures.statistics import difference, median, percentile
from bench.figures.tables import cell, paragraphs, table
from bench.parts.part import Part, timed
from bench.servers.on_mock_engine import forebay_on_mock_engine
from bench.servers.targets import MODEL, MockEngine, Target, send

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

    def added(self, metric: str) -> float | None:
        return difference(median_of(self.through, metric), median_of(self.direct, metric))


def median_of(slices: list[DispatchSlice], metric: str) -> float | None:
    return median(getattr(one, metric) for one in slices)


def measure(rounds: int, seconds: float) -> DispatchReport:
    report = DispatchReport(rounds, seconds)
    with forebay_on_mock_engine() as (mock, forebay):
        mock.control(tokens=TOKENS, interval_ms=0, stamped=True)
        for number in range(rounds):
            tell(f"dispatch round {number + 1}/{rounds}")
            report.direct.append(_slice(mock, mock.target(), seconds))
            report.through.append(_slice(mock, forebay.target(MODEL), seconds))
    return report


def _slice(mock: MockEngine, target: Target, seconds: float) -> DispatchSlice:
    _send(target, WARMUP_S)
    mock.delays()
    bad = _send(target, seconds)
    delays = mock.delays()
    return DispatchSlice(percentile(delays, 50), percentile(delays, 99), len(delays), bad)


def _send(target: Target, seconds: float) -> int:
    """Returns the number of bad answers."""
    options = target.options(
        stream=False, rate=RATE, seconds=seconds, warmup=0.0, tokens=TOKENS, max_tokens=TOKENS,
        stamped=True,
    )  # fmt: skip
    return send(options).bad


def section(report: DispatchReport) -> str:
    head = ("until the engine has it", "p50 ms", "p99 ms", "requests", "bad")
    rows = [_cells("direct", report.direct), _cells("through Forebay", report.through)]
    return paragraphs(table(head, rows), METHOD)


def _cells(name: str, slices: list[DispatchSlice]) -> tuple[str, ...]:
    figures = (median_of(slices, "p50_ms"), median_of(slices, "p99_ms"))
    counts = (sum(one.number for one in slices), sum(one.bad for one in slices))
    return (name, *map(cell, figures), *(f"{count:,}" for count in counts))


def aims(report: DispatchReport) -> Iterator[Aim]:
    for metric, limit in (("p50_ms", 5), ("p99_ms", 20)):
        name = metric.removesuffix("_ms")
        text = f"{RATE} requests/s: from the client until the engine has it, {name}"
        yield at_most(text, median_of(report.through, metric), "ms", limit)


PART = Part("Dispatch", DispatchReport, measure, section, timed(3, 5.0), timed(1, 5.0), aims)
