"""The figures of a simulated day, and their tables."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.figures import cell, paragraphs, percentile, table, table_of
from bench.simulate.policy import Load, Policy
from bench.simulate.shares import jain, ratios
from bench.simulate.tally import ClassTally, Tally

NOTE = """\
Waits are from arrival to the first begin, in seconds. *Shares*: tokens received against those that
the weights entitle to, of tenants while they are backlogged, where that is worth 20 requests or
more; Jain's index is 1 where all got the same for their weight."""


@dataclass(slots=True)
class ClassDay:
    name: str
    came: int
    finished: int
    parked: int
    still_waiting: int
    fill: float  # of all slots' time
    wait_p50_s: float | None
    wait_p95_s: float | None
    longest_s: dict[int, float]  # by weight
    backlogged: int  # tenants, long enough to compare them
    jain: float | None
    least: float | None  # received against entitled
    most: float | None

    @property
    def spread(self) -> float | None:
        return self.most / self.least if self.most and self.least else None


@dataclass(slots=True)
class Wall:
    """The time that the simulation itself took: no two runs have the same."""

    seconds: float
    script_us: float  # Valkey's time for one call of a script, the virtual clock's part in it


@dataclass(slots=True)
class SimulationReport:
    seed: int
    tenants: int
    engines: int
    hours: float
    pops: int
    fill: float
    classes: list[ClassDay]
    wall: Wall | None = None


def summed(tallies: Sequence[Tally], policy: Policy, seed: int) -> SimulationReport:
    day = policy.day
    slots_s = day.engines * day.slots * day.hours * 3600
    classes = [
        _class_day(name, [tally.classes[name] for tally in tallies], load, slots_s)
        for name, load in policy.loads.items()
    ]
    pops, fill = sum(tally.pops for tally in tallies), sum(each.fill for each in classes)
    return SimulationReport(seed, day.tenants, day.engines, day.hours, pops, fill, classes)


def _class_day(name: str, parts: Sequence[ClassTally], load: Load, slots_s: float) -> ClassDay:
    counts = sum((part.counts for part in parts), Counter[str]())
    waits = sorted(wait for part in parts for wait in part.waits)
    weights = sorted({weight for part in parts for weight in part.longest})
    shares = [share for part in parts for share in part.shares.by_tenant.values()]
    got = ratios(shares, load.prompt + 2 * load.tokens)
    return ClassDay(
        name=name,
        came=counts["came"],
        finished=counts["finished"],
        parked=counts["parked"],
        still_waiting=counts["still_waiting"],
        fill=sum(part.busy_s for part in parts) / slots_s,
        wait_p50_s=percentile(waits, 50),
        wait_p95_s=percentile(waits, 95),
        longest_s={w: max(part.longest.get(w, 0.0) for part in parts) for w in weights},
        backlogged=len(got),
        jain=jain(got),
        least=got[0] if got else None,
        most=got[-1] if got else None,
    )


def section(report: SimulationReport) -> str:
    return paragraphs(_head(report), _classes(report), _longest_waits(report), NOTE)


def _head(report: SimulationReport) -> str:
    text = (
        f"{report.tenants:,} tenants, {report.engines:,} engines, {report.hours:g} h, seed "
        f"{report.seed}: batch fill {report.fill:.1%}, {report.pops:,} pops"
    )
    if wall := report.wall:
        text += (
            f"; in {wall.seconds:,.0f} s, {report.pops / wall.seconds:,.0f} pops/s, "
            f"{wall.script_us:.0f} µs of Valkey's time for a script"
        )
    return text + "."


def _classes(report: SimulationReport) -> str:
    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    columns = {
        "class": lambda one: one.name,
        "came": lambda one: f"{one.came:,}",
        "finished": lambda one: f"{one.finished:,}",
        "parked": lambda one: f"{one.parked:,}",
        "still waiting": lambda one: f"{one.still_waiting:,}",
        "fill": lambda one: f"{one.fill:.1%}",
        "wait p50": lambda one: cell(one.wait_p50_s),
        "wait p95": lambda one: cell(one.wait_p95_s),
        "backlogged": lambda one: f"{one.backlogged:,}",
        "shares: Jain": lambda one: share(one.jain),
        "least": lambda one: share(one.least),
        "most": lambda one: share(one.most),
        "most / least": lambda one: share(one.spread),
    }
    return table_of(columns, report.classes)


def _longest_waits(report: SimulationReport) -> str:
    weights = sorted({weight for one in report.classes for weight in one.longest_s})
    head = ("longest wait, s", *(f"weight {weight}" for weight in weights))
    body = (
        (one.name, *(cell(one.longest_s.get(weight)) for weight in weights))
        for one in report.classes
    )
    return table(head, body)
