"""python -m bench.parts.admission: what authenticator, limits and reserve add.

Own PostgreSQL and Valkey in a temporary folder, which is removed afterwards. One process on one
uvloop takes requests as the web process does: address limit, authentication, submit. Each
slice is measured twice: with everything, and along the same path without authentication, limits
and reserve.
"""

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.figures.statistics import difference, median
from bench.figures.tables import pair, table
from bench.servers.without_platform import django_on_own_servers

RATE = 200  # requests a second
MODEL = "bench"
ENGINES = {MODEL: {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 64}}
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


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds."""

    p50: float | None
    p99: float | None


@dataclass(slots=True)
class Slice:
    """One measurement; by step, "whole" is all of them."""

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
    def aimed_at(self) -> bool:
        return not any(setting.day_begins for setting in SETTINGS if setting.name == self.name)

    @property
    def added(self) -> Spread:
        pairs = [(one.steps["whole"], other.steps["whole"]) for one, other in self.rounds]
        return Spread(
            median(difference(one.p50, other.p50) for one, other in pairs),
            median(difference(one.p99, other.p99) for one, other in pairs),
        )

    def step(self, name: str, *, without: bool = False) -> Spread:
        """The median over the rounds."""
        found = [pair[without].steps[name] for pair in self.rounds]
        return Spread(median(one.p50 for one in found), median(one.p99 for one in found))

    def count(self, what: str) -> int:
        return sum(getattr(one, what) for pair in self.rounds for one in pair)


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
    names = (*STEPS, "record without", "whole without")

    def cells(row: AdmissionRow) -> tuple[str, ...]:
        shown = [row.added, *map(row.step, STEPS)]
        shown += [row.step(name, without=True) for name in ("record", "whole")]
        counts = f"{row.count('failed')} / {row.count('requests')}"
        return (row.name, *(pair(one.p50, one.p99) for one in shown), counts)

    rounds = len(report.rows[0].rounds)
    said = (
        f"p50 / p99 in ms, medians over {rounds} rounds of {report.seconds:g} s, while the cores "
        f"were idle for {report.idle:.0%} of the time (median).\n\n{METHOD}"
    )
    head = ("", "added", *names, "failed / all")
    return f"{table(head, map(cells, report.rows))}\n\n{said}"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.parts.admission")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a slice")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    with django_on_own_servers(FOREBAY_ENGINES=json.dumps(ENGINES)):
        import uvloop

        from bench.parts.admission_rounds import measured

        rows = uvloop.run(measured(options))
        report = AdmissionReport(options.seconds, rows)
    print(section(report))
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=1))


if __name__ == "__main__":
    main()
