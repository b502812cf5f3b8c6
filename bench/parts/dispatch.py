"""python -m bench.parts.dispatch: how soon an engine has a request.

Requests at a constant rate to a mock engine that answers at once, directly and through Forebay, by
turns. Each says in its prompt when it was sent; the engine notes how long ago that was. So the time
holds all that lies before the engine: HTTP, key, limits, record, queue, and the runner.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench.compare.comparison import tell
from bench.figures.statistics import difference, median, percentile
from bench.figures.tables import cell, table
from bench.load.generator import Options
from bench.parts import apart
from bench.servers.forebay import Forebay
from bench.servers.targets import MODEL, MockEngine, Target, send

RATE, SLOTS, TOKENS = 200, 64, 8
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


def measured(rounds: int, seconds: float) -> DispatchReport:
    report = DispatchReport(rounds, seconds)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        mock = MockEngine(folder)
        engines = {MODEL: {"kind": "openai", "url": mock.url, "slots": SLOTS}}
        forebay = Forebay(folder, engines)
        try:
            mock.control(tokens=TOKENS, interval_ms=0, stamped=True)
            for number in range(rounds):
                tell(f"dispatch round {number + 1}/{rounds}")
                report.direct.append(_slice(mock, mock.target(), seconds))
                report.through.append(_slice(mock, forebay.target(MODEL), seconds))
        finally:
            forebay.stop()
            mock.stop()
    return report


def _slice(mock: MockEngine, target: Target, seconds: float) -> DispatchSlice:
    _sent(target, 1.5)
    mock.delays()
    bad = _sent(target, seconds)
    delays = mock.delays()
    return DispatchSlice(percentile(delays, 50), percentile(delays, 99), len(delays), bad)


def _sent(target: Target, seconds: float) -> int:
    options = Options(
        url=target.url,
        key=target.key,
        model=target.model,
        stream=False,
        rate=RATE,
        seconds=seconds,
        warmup=0.0,
        tokens=TOKENS,
        max_tokens=TOKENS,
        stamped=True,
    )
    return send(options).bad


def section(report: DispatchReport) -> str:
    head = ("until the engine has it", "p50 ms", "p99 ms", "requests", "bad")
    rows = [_cells("direct", report.direct), _cells("through Forebay", report.through)]
    return "\n\n".join([table(head, rows), METHOD])


def _cells(name: str, slices: list[DispatchSlice]) -> tuple[str, ...]:
    figures = (median_of(slices, "p50_ms"), median_of(slices, "p99_ms"))
    counts = (sum(one.number for one in slices), sum(one.bad for one in slices))
    return (name, *map(cell, figures), *(f"{count:,}" for count in counts))


def main() -> None:
    apart.run("bench.parts.dispatch", measured, section, rounds=3, seconds=5.0)


if __name__ == "__main__":
    main()
