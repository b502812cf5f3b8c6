"""Settings and figures of the audit's part, and their table."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.figures.aims import Aim, at_least
from bench.figures.statistics import Spread, median
from bench.figures.tables import cell, pair, paragraphs, table

TENANTS = 100
OLD = 100_000  # completions that are there already
ROLES = ("writer", "postgres", "sealer")


@dataclass(frozen=True, slots=True)
class AtOnce:
    name: str
    requests: int
    quotas: bool = True


FLOODS = (
    AtOnce("64 at once", 64),
    AtOnce("256 at once", 256),
    AtOnce("256 at once, no quotas", 256, quotas=False),
)
METHOD = f"""\
One process on one event loop writes each request twice, as intake and runner do: RECEIVED with
the sealed prompt (1 KB) and its signed receipt, then SETTLED with the sealed answer (1 KB), both
through GroupCommit, for {TENANTS} tenants with a key and six quotas each (in
one row without any), with {OLD:,} completions in the table and statistics of it, as on a platform
in use. "Audited" are requests of which both are durable. A second process seals
each second as Celery's job does, and tells the witness file; "sealed" is over the time that it
worked."""


@dataclass(slots=True)
class Sealed:
    """Events that the sealer sealed; `left` of them had no seal when the load was over."""

    events: int = 0
    seconds: float = 0.0
    left: int = 0


@dataclass(slots=True)
class Flood:
    """One slice of as many requests at once."""

    audited: int
    failed: int
    seconds: float
    idle: float  # share of the cores' time that nobody used meanwhile
    record: Spread
    cpu_ms: dict[str, float]  # of each request, by role
    sealed: Sealed

    @property
    def per_second(self) -> float:
        return self.audited / self.seconds


@dataclass(slots=True)
class FloodRow:
    name: str
    rounds: list[Flood] = field(default_factory=list)

    @property
    def per_second(self) -> float | None:
        return median(one.per_second for one in self.rounds)


@dataclass(slots=True)
class AuditReport:
    seconds: float  # of a slice
    floods: list[FloodRow]

    @property
    def failed(self) -> int:
        return sum(one.failed for row in self.floods for one in row.rounds)


def section(report: AuditReport) -> str:
    head = ("", "audited requests/s", "record p50 / p99 ms", "sealed events/s", "left unsealed")
    costs = (f"CPU ms/request: {', '.join(ROLES)}", "idle", "failed / all")
    rounds = len(report.floods[0].rounds)
    text = f"Medians over {rounds} rounds of {report.seconds:g} s."
    return paragraphs(table((*head, *costs), map(_cells, report.floods)), text, METHOD)


def _cells(row: FloodRow) -> tuple[str, ...]:
    record = Spread.median(one.record for one in row.rounds)
    failed = sum(one.failed for one in row.rounds)
    sealed = [one.sealed for one in row.rounds]
    return (
        row.name,
        f"{row.per_second or 0:,.0f}",
        pair(record.p50, record.p99),
        f"{median(one.events / one.seconds for one in sealed if one.seconds) or 0:,.0f}",
        f"{median(one.left for one in sealed) or 0:,.0f}",
        " / ".join(cell(median(one.cpu_ms.get(role) for one in row.rounds)) for role in ROLES),
        f"{median(one.idle for one in row.rounds) or 0:.0%}",
        f"{failed} / {sum(one.audited for one in row.rounds) + failed:,}",
    )


def aims(report: AuditReport) -> Iterator[Aim]:
    for row in report.floods:
        limit = 2500 if row.name == FLOODS[0].name else 1000
        yield at_least(f"audited requests/s, {row.name}", row.per_second, "1/s", limit)
