"""The CPU of a request with more tenants, more requests on record, more web processes and more
engines.

Each step has a home of its own. Its platform starts anew for each slice: one that idles would take
part in what another is measured by.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.compare.comparison import TOKENS, Load, Row, measure_slice, summary
from bench.figures import Aim, cell, paragraphs, ratio, table, tell
from bench.load.generator import LoadReport
from bench.parts.growth import homes
from bench.servers.child import DidNotStart, temporary_folder
from bench.servers.forebay import Forebay, mock_engine
from bench.servers.targets import MODEL, Target, send

SLOTS = 64
LOAD = Load("json c=64", concurrency=SLOTS, interval_ms=0)
WARMUP_S = 3.0
TENANTS, RECORDS, WEB, ENGINES = "tenants", "requests on record", "web processes", "engines"
MOST = 1.1
ROLES = ("web", "worker", "postgres", "valkey", "jobs")
HEAD = ("", "", "requests/s", "p50 ms", "p99 ms", "CPU ms", "times", *ROLES, "bad")
METHOD = """\
64 clients at once ask for whole answers of 64 tokens; load generator and mock engine share the
cores. CPU is that of all processes of the platform for a request, background work included, and
*times* what it is of the axis' first step. Tenants are taken in turns, each with a key and limits.
Requests on record are completions and usage of twenty days, made by SQL. Texts and events lie in
partitions of a month; there are those of the measured requests alone."""


@dataclass(frozen=True, slots=True)
class Step:
    """`size`: the number of what the axis counts. The other fields make the platform."""

    axis: str
    size: int
    tenants: int = 1
    records: int = 0
    engines: int = 1
    web: int = 1

    @property
    def home(self) -> str:
        return f"{self.tenants}-{self.records}-{self.engines}"


@dataclass(slots=True)
class GrowthReport:
    seconds: float
    records: int
    rows: list[Row]  # `load` is the axis, `target` the step's size

    def times(self, row: Row) -> float | None:
        """Returns the CPU of a request as a multiple of that of the axis' first step."""
        first = next(each for each in self.rows if each.load == row.load)
        return ratio(row.cpu_ms, first.cpu_ms)


def steps(records: int) -> list[Step]:
    return [
        *(Step(TENANTS, number, tenants=number) for number in (1, 100, 5_000)),
        *(Step(RECORDS, number, records=number) for number in (0, records // 50, records)),
        *(Step(WEB, number, web=number) for number in (1, 2, 4, 8)),
        *(Step(ENGINES, number, engines=number) for number in (1, 20, 60)),
    ]


def measure(rounds: int, seconds: float, records: int) -> GrowthReport:
    slices: dict[Step, list[LoadReport]] = defaultdict(list)
    planned = steps(records)
    with mock_engine() as mock, temporary_folder() as folder:
        mock.control(tokens=64, interval_ms=0, fail=None)
        running = _Homes(folder, mock.url)
        for number in range(rounds):
            for step in planned[:: -1 if number % 2 else 1]:
                tell(f"growth, round {number + 1}/{rounds}: {step.size:,} {step.axis}")
                try:
                    with running.on(step) as target:
                        warm_up(target, step.tenants)
                        slices[step].append(measure_slice(target, LOAD, seconds))
                except DidNotStart as problem:  # too many processes for the machine
                    tell(problem)
    rows = [summary(step.axis, f"{step.size:,}", slices[step]) for step in planned if slices[step]]
    return GrowthReport(seconds, records, rows)


def warm_up(target: Target, tenants: int) -> None:
    """Have each tenant ask once: what a process then knows of them is not measured."""
    measure_slice(target, LOAD, WARMUP_S)
    if tenants > 1:
        send(target.options(concurrency=SLOTS, requests=tenants, max_tokens=TOKENS))


class _Homes:
    """Platforms on the homes of their steps, furnished at the first start of each."""

    def __init__(self, folder: Path, engine_url: str) -> None:
        self._folder, self._engine_url = folder, engine_url
        self._keys: dict[str, str] = {}  # by home

    @contextmanager
    def on(self, step: Step) -> Iterator[Target]:
        folder = self._folder / step.home
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        key = self._keys.get(step.home)
        variables = {"FOREBAY_WEB_PROCESSES": str(step.web)}
        forebay = Forebay(folder, self._engines(step), variables=variables, key=key)
        try:
            self._keys[step.home] = forebay.key
            keys = folder / "keys"
            if key is None:
                homes.furnish(forebay, keys, step.tenants, step.records)
            yield replace(forebay.target(), keys=str(keys))
        finally:
            forebay.stop()

    def _engines(self, step: Step) -> dict[str, Any]:
        """Returns one pool of so many engines, which have the same slots together."""
        slots = max(1, SLOTS // step.engines)
        one = {"url": self._engine_url, "slots": slots}
        pool = {"kind": "openai", "engines": [one] * step.engines}
        return {MODEL: {"pools": {MODEL: pool}}}


def section(report: GrowthReport) -> str:
    return paragraphs(table(HEAD, (_cells(report, row) for row in report.rows)), METHOD)


def _cells(report: GrowthReport, row: Row) -> tuple[str, ...]:
    figures = [row["rps"], row["p50_ms"], row["p99_ms"], row.cpu_ms, report.times(row)]
    figures += [row.cpu_by_role.get(role) for role in ROLES]
    return (row.load, row.target, *map(cell, figures), f"{row.bad} of {row.all}")


def aims(report: GrowthReport) -> Iterator[Aim]:
    for axis, last in {row.load: row for row in report.rows}.items():
        text = f"CPU of a request with {last.target} {axis} against the fewest"
        yield Aim(text, report.times(last), "x", MOST)
