"""All pools of a simulated day, side by side over one connection."""

import asyncio
import time
from random import Random
from uuid import uuid4

from bench.simulation.arrivals import Tenants, arrivals
from bench.simulation.policy import Policy
from bench.simulation.pool import SimulatedPool
from bench.simulation.report import SimulationReport, Wall, summed
from bench.simulation.virtual_link import VirtualLink


async def simulated(policy: Policy, seed: int, redis_url: str) -> SimulationReport:
    """What is left in the queues stays in Redis."""
    link = VirtualLink(redis_url)
    try:
        with policy.in_force():
            return await _simulated(link, policy, seed)
    finally:
        link.close()


async def _simulated(link: VirtualLink, policy: Policy, seed: int) -> SimulationReport:
    await link.call("CONFIG", "RESETSTAT")
    began = time.perf_counter()
    pools = [_pool(link, number, policy, seed) for number in range(policy.day.pools)]
    tallies = await asyncio.gather(*[pool.run() for pool in pools])
    report = summed(tallies, policy, seed)
    report.wall = Wall(time.perf_counter() - began, await _script_us(link))
    return report


def _pool(link: VirtualLink, number: int, policy: Policy, seed: int) -> SimulatedPool:
    day = policy.day
    engines = _part(day.engines, number, day.pools)
    names = [f"t{n}" for n in range(number, day.tenants, day.pools)]
    tenants = Tenants(names, policy, Random(f"{seed} {number}"))
    requests = arrivals(number, tenants, engines * day.slots, policy, seed)
    return SimulatedPool(link, f"simulated-{uuid4().hex}", engines, day, requests)


def _part(of: int, number: int, parts: int) -> int:
    return of // parts + (number < of % parts)


async def _script_us(link: VirtualLink) -> float:
    told = (await link.call("INFO", "commandstats")).decode()
    line = next(line for line in told.splitlines() if line.startswith("cmdstat_evalsha:"))
    fields = dict(field.split("=") for field in line.partition(":")[2].split(","))
    return float(fields["usec_per_call"])
