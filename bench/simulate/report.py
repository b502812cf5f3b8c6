"""The figures of a simulated day, and their tables."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.figures.statistics import percentile
from bench.figures.tables import cell, table
from bench.simulate.policy import Policy
from bench.simulate.shares import jain, ratios
from bench.simulate.tally import BIN_S, ClassTally, Tally

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
    fills: dict[str, list[float]] = field(default_factory=dict)  # by half hours, classes stacked
    wall: Wall | None = None


def summed(tallies: Sequence[Tally], policy: Policy, seed: int) -> SimulationReport:
    day = policy.day
    slots = day.engines * day.slots
    bins = max(1, round(day.hours * 3600 / BIN_S))
    days: list[ClassDay] = []
    fills: dict[str, list[float]] = {}
    so_far = [0.0] * bins
    for name, load in policy.loads.items():
        parts = [tally.classes[name] for tally in tallies]
        days.append(
            _class_day(name, parts, load.prompt + 2 * load.tokens, slots * day.hours * 3600)
        )
        in_bins = [sum(part.busy.get(n, 0.0) for part in parts) for n in range(bins)]
        so_far = [a + b / slots / BIN_S for a, b in zip(so_far, in_bins, strict=True)]
        fills[f"to {name}"] = so_far
    return SimulationReport(
        seed=seed,
        tenants=day.tenants,
        engines=day.engines,
        hours=day.hours,
        pops=sum(tally.pops for tally in tallies),
        fill=sum(each.fill for each in days),
        classes=days,
        fills=fills,
    )


def _class_day(
    name: str, parts: Sequence[ClassTally], request: float, slot_seconds: float
) -> ClassDay:
    waits = sorted(wait for part in parts for wait in part.waits)
    shares = [share for part in parts for share in part.shares.by_tenant.values()]
    got = ratios(shares, request)
    return ClassDay(
        name=name,
        came=sum(part.came for part in parts),
        finished=sum(part.finished for part in parts),
        parked=sum(part.parked for part in parts),
        still_waiting=sum(part.still_waiting for part in parts),
        fill=sum(sum(part.busy.values()) for part in parts) / slot_seconds,
        wait_p50_s=percentile(array("d", waits), 50),
        wait_p95_s=percentile(array("d", waits), 95),
        longest_s=_longest(parts),
        backlogged=len(got),
        jain=jain(got),
        least=got[0] if got else None,
        most=got[-1] if got else None,
    )


def _longest(parts: Sequence[ClassTally]) -> dict[int, float]:
    weights = sorted({weight for part in parts for weight in part.longest})
    return {weight: max(part.longest.get(weight, 0.0) for part in parts) for weight in weights}


def section(report: SimulationReport) -> str:
    return "\n\n".join([_head(report), _classes(report), _longest_waits(report), NOTE])


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
    head = ("class", "came", "finished", "parked", "still waiting", "fill", "wait p50", "wait p95")
    shares = ("backlogged", "shares: Jain", "least", "most", "most / least")
    return table((*head, *shares), map(_class_cells, report.classes))


def _class_cells(one: ClassDay) -> tuple[str, ...]:
    counts = (one.came, one.finished, one.parked, one.still_waiting)
    shares = (one.jain, one.least, one.most, one.spread)
    return (
        one.name,
        *(f"{count:,}" for count in counts),
        f"{one.fill:.1%}",
        cell(one.wait_p50_s),
        cell(one.wait_p95_s),
        f"{one.backlogged:,}",
        *("" if value is None else f"{value:.3f}" for value in shares),
    )


def _longest_waits(report: SimulationReport) -> str:
    weights = sorted({weight for one in report.classes for weight in one.longest_s})
    head = ("longest wait, s", *(f"weight {weight}" for weight in weights))
    body = (
        (one.name, *(cell(one.longest_s.get(weight)) for weight in weights))
        for one in report.classes
    )
    return table(head, body)
