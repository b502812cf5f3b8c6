"""python -m bench.parts.audit: what the audit trail costs, and bears.

Own PostgreSQL and Valkey in a temporary folder, which is removed afterwards. One process on one
uvloop writes requests onto the record as the web process does, the sealer is another process.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from bench.figures.statistics import difference, median
from bench.figures.tables import cell, pair, table
from bench.parts.admission import Slice, Spread
from bench.servers.without_platform import django_on_own_servers

RATE = 200  # requests a second, with the audit trail and without
TENANTS = 100
OLD = 100_000  # completions that are there already
STEPS = ("received", "settled", "both")
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
worked. A write is "while sealing" when a round was at work at some time of it. "Held" counts looks
at pg_stat_activity, 20 a second, in which a request waited for a lock of the sealer's.
On against off: {RATE} requests/s at random moments (Poisson), settled after 0.1 s. Without the
trail the same statements run without its parts: ledger, counters, completion and usage rows, but
no events and no texts; nothing is encrypted or signed, and no sealer runs. "Received" is from the
scheduled moment until the request is durable, "settled" the wait at its end. "Added" is the
difference of the two percentiles, the median over the rounds, which take turns."""


class Sealed(msgspec.Struct):
    """What the sealer did: rounds that found events, as (began, ended, events)."""

    rounds: list[tuple[float, float, int]]
    left: int = 0  # events that had no seal yet when the load was over,
    left_s: float = 0.0  # and how long they took

    @property
    def per_second(self) -> float | None:
        events = sum(one[2] for one in self.rounds) + self.left
        took = sum(one[1] - one[0] for one in self.rounds) + self.left_s
        return events / took if took else None


@dataclass(slots=True)
class Waits:
    """Of writes, in milliseconds."""

    count: int
    p50: float | None
    p99: float | None
    longest: float | None


@dataclass(slots=True)
class Together:
    """Writes beside the sealer."""

    sealing: Waits
    resting: Waits
    sealed_per_s: float | None
    sealed: int
    left: int
    looks: int
    held: int


@dataclass(slots=True)
class Flood:
    """One slice of as many requests at once."""

    audited: int
    failed: int
    seconds: float
    idle: float  # share of the cores' time that nobody used meanwhile
    record: Spread
    cpu_ms: dict[str, float]  # of each request, by role
    together: Together

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
    pairs: list[tuple[Slice, Slice]]  # on and off
    beside: list[Together]  # of the slices with the trail on

    @property
    def added(self) -> Spread:
        return self.added_to("both")

    def added_to(self, step: str) -> Spread:
        both = [(on.steps[step], off.steps[step]) for on, off in self.pairs]
        return Spread(
            median(difference(on.p50, off.p50) for on, off in both),
            median(difference(on.p99, off.p99) for on, off in both),
        )

    def step(self, name: str, *, off: bool) -> Spread:
        found = [one[off].steps[name] for one in self.pairs]
        return Spread(median(one.p50 for one in found), median(one.p99 for one in found))

    @property
    def failed(self) -> int:
        slices = [one for both in self.pairs for one in both]
        return sum(one.failed for row in self.floods for one in row.rounds) + sum(
            one.failed for one in slices
        )

    @property
    def held(self) -> int:
        return sum(one.held for _, all_ in self.by_load() for one in all_)

    @property
    def looks(self) -> int:
        return sum(one.looks for _, all_ in self.by_load() for one in all_)

    def by_load(self) -> Iterator[tuple[str, list[Together]]]:
        """Its name, and what was seen beside the sealer."""
        for row in self.floods:
            yield row.name, [one.together for one in row.rounds]
        yield f"{RATE}/s", self.beside


def section(report: AuditReport) -> str:
    return "\n\n".join((flood_table(report), beside_table(report), added_table(report), METHOD))


def flood_table(report: AuditReport) -> str:
    def cells(row: FloodRow) -> tuple[str, ...]:
        spreads = [one.record for one in row.rounds]
        failed = sum(one.failed for one in row.rounds)
        return (
            row.name,
            f"{row.per_second or 0:,.0f}",
            pair(median(s.p50 for s in spreads), median(s.p99 for s in spreads)),
            f"{median(one.together.sealed_per_s for one in row.rounds) or 0:,.0f}",
            f"{median(one.together.left for one in row.rounds) or 0:,.0f}",
            " / ".join(cell(median(o.cpu_ms.get(r) for o in row.rounds)) for r in ROLES),
            f"{median(one.idle for one in row.rounds) or 0:.0%}",
            f"{failed} / {sum(one.audited for one in row.rounds) + failed:,}",
        )

    head = ("", "audited requests/s", "record p50 / p99 ms", "sealed events/s", "left unsealed")
    more = (f"CPU ms/request: {', '.join(ROLES)}", "idle", "failed / all")
    rounds = len(report.floods[0].rounds)
    said = f"Medians over {rounds} rounds of {report.seconds:g} s."
    return f"{table((*head, *more), map(cells, report.floods))}\n\n{said}"


def beside_table(report: AuditReport) -> str:
    def cells(all_: list[Together], name: str) -> tuple[str, ...]:
        kinds = [one.sealing for one in all_], [one.resting for one in all_]
        return (
            name,
            *(spread for waits in kinds for spread in waits_cells(waits)),
            f"{sum(one.held for one in all_)} / {sum(one.looks for one in all_):,}",
        )

    head = [f"{what} {when}" for when in ("while sealing", "else") for what in
            ("writes", "p50 / p99 ms", "longest ms")]  # fmt: skip
    body = (cells(all_, name) for name, all_ in report.by_load())
    return table(("", *head, "held / looks"), body)


def waits_cells(waits: Iterable[Waits]) -> tuple[str, ...]:
    waits = list(waits)
    longest = max((one.longest for one in waits if one.longest is not None), default=None)
    spread = pair(median(one.p50 for one in waits), median(one.p99 for one in waits))
    return f"{sum(one.count for one in waits):,}", spread, cell(longest)


def added_table(report: AuditReport) -> str:
    def cells(step: str) -> tuple[str, ...]:
        on, off = (report.step(step, off=off) for off in (False, True))
        shown = (report.added_to(step), on, off)
        return (step, *(pair(one.p50, one.p99) for one in shown))

    slices = [one for both in report.pairs for one in both]
    failed, requests = sum(s.failed for s in slices), sum(s.requests for s in slices)
    said = (
        f"p50 / p99 in ms at {RATE} requests/s, medians over {len(report.pairs)} rounds of "
        f"{report.seconds:g} s; {failed} of {requests:,} failed; the cores were idle for "
        f"{median(s.idle for s in slices) or 0:.0%} of the time (median)."
    )
    return f"{table(('', 'added', 'on', 'off'), map(cells, STEPS))}\n\n{said}"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.parts.audit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a slice")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    with django_on_own_servers():
        import uvloop

        from bench.parts.audit_rounds import measured

        report = uvloop.run(measured(options.rounds, options.seconds))
    print(section(report))
    if options.json:
        options.json.write_text(msgspec.json.encode(asdict(report)).decode())


if __name__ == "__main__":
    main()
