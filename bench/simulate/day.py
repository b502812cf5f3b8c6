"""All pools of a simulated day, side by side over one connection."""

import asyncio
import time
from dataclasses import replace
from random import Random
from uuid import uuid4

from bench.simulate.arrivals import Tenants, arrivals
from bench.simulate.policy import Policy
from bench.simulate.pool import SimulatedPool
from bench.simulate.report import SimulationReport, Wall, summed
from bench.simulate.virtual_link import VirtualLink


async def simulated(policy: Policy, seed: int, redis_url: str) -> SimulationReport:
    """Play the day. Requests that still wait at its end stay in Redis."""
    policy = replace(policy, day=replace(policy.day, pools=_pools_with_engines(policy)))
    link = VirtualLink(redis_url)
    try:
        pools = [f"simulated-{uuid4().hex}" for _ in range(policy.day.pools)]
        engines = {pool: _part(policy.day.engines, n, len(pools)) for n, pool in enumerate(pools)}
        slots = {pool: number * policy.day.slots for pool, number in engines.items()}
        with policy.in_force(slots):
            return await _simulated(link, policy, seed, engines)
    finally:
        link.close()


async def _simulated(
    link: VirtualLink, policy: Policy, seed: int, engines: dict[str, int]
) -> SimulationReport:
    """`engines`: how many, by pool."""
    await link.call("CONFIG", "RESETSTAT")
    began = time.perf_counter()
    pools = [
        _pool(link, pool, number, engines[pool], policy, seed)
        for number, pool in enumerate(engines)
    ]
    tallies = await asyncio.gather(*[pool.run() for pool in pools])
    report = summed(tallies, policy, seed)
    report.wall = Wall(time.perf_counter() - began, await _script_us(link))
    return report


def _pools_with_engines(policy: Policy) -> int:
    return min(policy.day.pools, policy.day.engines)


def _pool(
    link: VirtualLink, name: str, number: int, engines: int, policy: Policy, seed: int
) -> SimulatedPool:
    day = policy.day
    names = [f"t{n}" for n in range(number, day.tenants, day.pools)]
    tenants = Tenants(names, policy, Random(f"{seed} {number}"))
    requests = arrivals(number, tenants, engines * day.slots, policy, seed)
    return SimulatedPool(link, name, engines, day, requests)


def _part(of: int, number: int, parts: int) -> int:
    return of // parts + (number < of % parts)


async def _script_us(link: VirtualLink) -> float:
    """Valkey's own time for one call of a script."""
    statistics = (await link.call("INFO", "commandstats")).decode()
    line = next(line for line in statistics.splitlines() if line.startswith("cmdstat_evalsha:"))
    fields = dict(field.split("=") for field in line.partition(":")[2].split(","))
    return float(fields["usec_per_call"])
