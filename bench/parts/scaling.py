"""python -m bench.parts.scaling: one or two of web processes and workers.

The mock engine, and Forebay as `make run` starts it, anew for each slice: the four take turns, so
that none that idles takes part in what another is measured by.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.compare.comparison import TOKENS, Load, Row, Slice, measure, summary, tell
from bench.figures.statistics import ratio
from bench.figures.tables import cell, table
from bench.parts import apart
from bench.servers.forebay import Forebay
from bench.servers.targets import MODEL, MockEngine, Target

LOAD = Load("json c=64", concurrency=64)
WARM_S = 2.0
PROCESSES = ((1, 1), (2, 1), (1, 2), (2, 2))  # web, workers
ROLES = ("web", "worker", "postgres", "valkey")
METHOD = f"""\
64 clients at once ask for whole answers of {TOKENS} tokens. Everything, the load generator and the
engine too, shares the cores above: on few cores more processes cannot show what they are for. CPU
is that of all processes of the platform, per request."""


@dataclass(slots=True)
class ScalingReport:
    seconds: float
    rows: list[Row]

    def times(self, row: Row) -> float | None:
        """Requests a second, as a multiple of those with one process of each kind."""
        return ratio(row["rps"], self.rows[0]["rps"])


class Again(Forebay):
    """A further start on one home; the key is made at the first."""

    def new_key(self) -> str:
        kept = self.home / "bench.key"
        if not kept.exists():
            kept.write_text(super().new_key())
        return kept.read_text()


def measured(rounds: int, seconds: float) -> ScalingReport:
    slices: dict[str, list[Slice]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        mock = MockEngine(Path(folder))
        try:
            mock.control(tokens=TOKENS, interval_ms=0, fail=None)
            for number in range(rounds):
                for web, workers in PROCESSES if number % 2 == 0 else reversed(PROCESSES):
                    with _running(Path(folder), mock, web, workers) as target:
                        tell(f"round {number + 1}/{rounds}: {target.name}")
                        measure(target, LOAD, WARM_S)
                        slices[target.name].append(measure(target, LOAD, seconds))
        finally:
            mock.stop()
    names = [_name(*processes) for processes in PROCESSES]
    return ScalingReport(seconds, [summary(LOAD.name, name, slices[name]) for name in names])


@contextmanager
def _running(folder: Path, mock: MockEngine, web: int, workers: int) -> Iterator[Target]:
    engine = {"kind": "openai", "url": mock.url, "slots": 64}
    counts = {"FOREBAY_WEB_PROCESSES": str(web), "FOREBAY_WORKERS_PER_ENGINE": str(workers)}
    forebay = Again(folder, {MODEL: engine}, variables=counts)
    try:
        yield replace(forebay.target(MODEL), name=_name(web, workers))
    finally:
        forebay.stop()


def _name(web: int, workers: int) -> str:
    return f"{web} web, {workers} worker{'s' if workers > 1 else ''}"


def section(report: ScalingReport) -> str:
    head = ("", "requests/s", "times", "p50 ms", "p99 ms", "CPU ms", *ROLES, "bad")
    body = [_cells(report, row) for row in report.rows]
    return f"{table(head, body)}\n\n{METHOD}"


def _cells(report: ScalingReport, row: Row) -> tuple[str, ...]:
    figures = [row["rps"], report.times(row), row["p50_ms"], row["p99_ms"], row.cpu_ms]
    figures += [row.cpu_by_role.get(role) for role in ROLES]
    return (row.target, *map(cell, figures), f"{row.bad} of {row.all}")


def main() -> None:
    apart.run("bench.parts.scaling", measured, section, rounds=3, seconds=4.0)


if __name__ == "__main__":
    main()
