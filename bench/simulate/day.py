"""All pools of a simulated day, side by side over one connection."""

import asyncio
import time
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

from bench.simulate.arrivals import Arrivals
from bench.simulate.policy import Policy
from bench.simulate.pool import SimulatedPool
from bench.simulate.report import SimulationReport, Wall, summed
from bench.simulate.virtual_link import VirtualLink


async def simulated(policy: Policy, seed: int, redis_url: str) -> SimulationReport:
    """Play the day. Requests that still wait at its end stay in Redis."""
    pools = min(policy.day.pools, policy.day.engines)  # each has an engine at least
    policy = replace(policy, day=replace(policy.day, pools=pools))
    each, more = divmod(policy.day.engines, pools)
    engines = {f"simulated-{uuid4().hex}": each + (number < more) for number in range(pools)}
    slots = {pool: number * policy.day.slots for pool, number in engines.items()}
    with closing(VirtualLink(redis_url)) as link, policy.in_force(slots):
        await link.call("CONFIG", "RESETSTAT")
        began = time.perf_counter()
        runs = []
        for number, (pool, its_engines) in enumerate(engines.items()):
            requests = iter(Arrivals(number, slots[pool], policy, seed))
            runs.append(SimulatedPool(link, pool, its_engines, policy.day, requests).run())
        report = summed(await asyncio.gather(*runs), policy, seed)
        report.wall = Wall(time.perf_counter() - began, await _script_us(link))
        return report


async def _script_us(link: VirtualLink) -> float:
    """Valkey's own time for one call of a script."""
    statistics = (await link.call("INFO", "commandstats")).decode()
    line = next(line for line in statistics.splitlines() if line.startswith("cmdstat_evalsha:"))
    fields = dict(field.split("=") for field in line.partition(":")[2].split(","))
    return float(fields["usec_per_call"])
