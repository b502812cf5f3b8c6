"""One day, played by a fleet that serves alone, and by one that lends engines to jobs."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec

from bench.figures import percentile
from bench.mixed.pool import Handover, MixedPool
from bench.simulate.arrivals import Arrivals
from bench.simulate.policy import Day, Load, Policy
from bench.simulate.virtual_link import VirtualLink
from inference.energy.consolidation import Rules

REALTIME = "realtime"


@dataclass(frozen=True, slots=True)
class MixedDay:
    """`share`: of all slots' time that real-time requests take on average.

    `jobs`: GPUs that are wanted at any time; 0: as many as there are.
    """

    engines: int = 8
    slots: int = 16
    hours: float = 24.0
    share: float = 0.25
    jobs: int = 0
    seed: int = 7
    rules: Rules = field(default_factory=Rules)
    handover: Handover = field(default_factory=Handover)

    @property
    def jobs_wanted(self) -> int:
        return self.jobs or self.engines

    def policy(self) -> Policy:
        day = Day(
            tenants=200,
            engines=self.engines,
            hours=self.hours,
            pools=1,
            slots=self.slots,
            tokens_per_s=50.0,
        )
        return Policy(day=day, loads={REALTIME: Load(self.share, "day", tokens=600, prompt=500)})


class FleetDay(msgspec.Struct):
    """The figures of one fleet: GPU-hours; waits and first tokens in seconds."""

    name: str
    requests: int
    first_token_p50_s: float
    first_token_p99_s: float
    busy_h: float  # slots with a request, as parts of their GPU
    awake_h: float  # engines that took requests
    jobs_h: float  # without what handing over takes
    lent: int  # times


class MixedReport(msgspec.Struct):
    engines: int
    hours: float
    share: float
    seed: int
    apart: FleetDay
    mixed: FleetDay

    @property
    def dedicated(self) -> float:
        """GPUs that do the same jobs in the same day and nothing else, without a pause."""
        return self.mixed.jobs_h / self.hours

    @property
    def saved(self) -> float:
        """The part of the hardware of two separate fleets that one needs no more."""
        return self.dedicated / (self.engines + self.dedicated)

    @property
    def slower(self) -> float:
        return self.mixed.first_token_p99_s / self.apart.first_token_p99_s


async def played(day: MixedDay, redis_url: str) -> MixedReport:
    apart, mixed = await asyncio.gather(
        _fleet("apart", day, None, redis_url), _fleet("mixed", day, day.rules, redis_url)
    )
    return MixedReport(day.engines, day.hours, day.share, day.seed, apart, mixed)


async def _fleet(name: str, day: MixedDay, rules: Rules | None, redis_url: str) -> FleetDay:
    policy, pool = day.policy(), f"mixed-{uuid4().hex}"
    slots = day.engines * day.slots
    with closing(VirtualLink(redis_url)) as link, policy.in_force({pool: slots}):
        requests = iter(Arrivals(0, slots, policy, day.seed))
        fleet = MixedPool(
            link, pool, day.engines, policy.day, requests, rules, day.handover, day.jobs_wanted
        )
        tally = await fleet.run()
    first = [wait + policy.day.first_token_s for wait in sorted(tally.classes[REALTIME].waits)]
    return FleetDay(
        name,
        tally.classes[REALTIME].counts["finished"],
        _percentile(first, 50),
        _percentile(first, 99),
        tally.classes[REALTIME].busy_s / day.slots / 3600,
        fleet.awake_s / 3600,
        fleet.trained_s / 3600,
        fleet.lent,
    )


def _percentile(figures: Sequence[float], share: int) -> float:
    return percentile(figures, share) or 0.0
