"""Settings and figures of the admission's part, and their table."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.figures.aims import Aim, at_most
from bench.figures.statistics import Spread, difference, median
from bench.figures.tables import pair, paragraphs, table

RATE = 200  # requests a second
MODEL = "bench"
STEPS = ("authentication", "limits", "record", "whole")
METHOD = f"""\
{RATE} requests/s at random moments (Poisson) in one process on one event loop, as the web process
takes them, each of a random tenant with one key. Tenant and key have limits of requests, tokens
and requests at once, addresses the default limit of 100 a minute; each tenant has six quotas:
tokens, requests and cost per day and per month. All 5,000 tenants stand in the same database.
"Whole" is from the scheduled moment until the request is queued. "Without" takes the same requests
along the same path with the caller known, nothing asked of the limits, and a record whose SQL
neither reserves nor settles (no ledger, no counters); audit event, sealed text and `Completion`
are written in both. "Added" is the difference of the two percentiles, the median over the rounds.
"Authentication" is the key's look-up, "limits" every call of the Lua script (a second one for the
address where the key has to be looked up), "record" the wait for the group commit.
Requests are settled after 0.1 s by the same process, which both ways bear. "A day begins": nobody
has a counter of the day, so that almost every request makes its tenant's, as at midnight."""


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    tenants: int
    day_begins: bool = False


SETTINGS = (
    Setting("1 tenant", 1),
    Setting("100 tenants", 100),
    Setting("5,000 tenants", 5_000),
    Setting("4,900 tenants, a day begins", 4_900, day_begins=True),
)
TENANTS = max(setting.tenants for setting in SETTINGS)


@dataclass(slots=True)
class Slice:
    """One measurement by step, of which "whole" is all of them."""

    requests: int
    failed: int
    idle: float  # share of the cores' time that nobody used meanwhile
    steps: dict[str, Spread]


@dataclass(slots=True)
class AdmissionRow:
    """One setting: `rounds` are pairs of slices, with everything and without."""

    name: str
    rounds: list[tuple[Slice, Slice]] = field(default_factory=list)

    @property
    def has_aims(self) -> bool:
        return not any(setting.day_begins for setting in SETTINGS if setting.name == self.name)

    @property
    def added(self) -> Spread:
        return Spread.median(
            complete.steps["whole"].less(bare.steps["whole"]) for complete, bare in self.rounds
        )

    def step(self, name: str, *, without: bool = False) -> Spread:
        return Spread.median(pair[without].steps[name] for pair in self.rounds)

    def count(self, field: str) -> int:
        return sum(getattr(one, field) for pair in self.rounds for one in pair)


@dataclass(slots=True)
class AdmissionReport:
    seconds: float  # of a slice
    rows: list[AdmissionRow]

    @property
    def idle(self) -> float:
        """The shared machine's spare time: where there is none, others are measured too."""
        slices = (one for row in self.rows for both in row.rounds for one in both)
        return median(one.idle for one in slices) or 0.0

    def row(self, name: str) -> AdmissionRow | None:
        return next((row for row in self.rows if row.name == name), None)


def section(report: AdmissionReport) -> str:
    head = ("", "added", *STEPS, "record without", "whole without", "failed / all")
    text = (
        f"p50 / p99 in ms, medians over {len(report.rows[0].rounds)} rounds of "
        f"{report.seconds:g} s, while the cores were idle for {report.idle:.0%} of the time "
        f"(median)."
    )
    return paragraphs(table(head, map(_cells, report.rows)), text, METHOD)


def _cells(row: AdmissionRow) -> tuple[str, ...]:
    spreads = [row.added, *map(row.step, STEPS)]
    spreads += [row.step(name, without=True) for name in ("record", "whole")]
    counts = f"{row.count('failed')} / {row.count('requests')}"
    return (row.name, *(pair(one.p50, one.p99) for one in spreads), counts)


def aims(report: AdmissionReport) -> Iterator[Aim]:
    for row in report.rows:
        if row.has_aims:
            text = f"admission at {RATE}/s, {row.name}: added"
            yield at_most(f"{text} p50", row.added.p50, "ms", 0.8)
            yield at_most(f"{text} p99", row.added.p99, "ms", 10)
    few, many = (report.row(name) for name in (SETTINGS[0].name, SETTINGS[2].name))
    if few and many:
        text = f"admission, {many.name} against {few.name}: p50 more by"
        yield at_most(text, difference(many.added.p50, few.added.p50), "ms", 1)
