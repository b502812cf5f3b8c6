"""What a sick Redis costs the admission of one web process: frozen, killed, emptied in a burst."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any
from uuid import uuid4

from django.conf import settings

from bench.admission import RATE, FaultRow
from bench.compare import tell
from bench.figures import percentile
from infrastructure.redis.link import RedisGone, RedisLink
from tenants.caller import Limits
from tenants.rate_limits.admission import Ask
from tenants.rate_limits.rate_limiter import RateLimiter

SECONDS = 10.0
BEGINS, ENDS = 3.0, 7.0
LIMITS = Limits(requests_per_minute=600, burst=200)
FLUSH_S = 0.5
Fault = Callable[[RedisLink], Coroutine[Any, Any, None]]


async def measured() -> list[FaultRow]:
    found = []
    for name, fault in FAULTS.items():
        tell(f"admission, Redis: {name}")
        found.append(await _burst(name, fault))
    return found


async def _burst(name: str, fault: Fault) -> FaultRow:
    """One tenant asks for far more than its limit: what is let in, and how long each waits."""
    rate_limiter, link = RateLimiter(settings.REDIS_URL), RedisLink(settings.REDIS_URL)
    await rate_limiter.open()
    tenant, times, let_in = str(uuid4()), list[float](), 0

    async def one(due: float) -> None:
        nonlocal let_in
        ask = Ask(str(uuid4()), tenant=tenant, limits=LIMITS, key=tenant, hold_s=60)
        admission, _ = await rate_limiter.admit(ask)
        let_in += not admission.tier
        times.append((perf_counter() - due) * 1000)

    began = due = perf_counter()
    sick, tasks = asyncio.create_task(fault(link)), []
    while due < began + SECONDS:
        await asyncio.sleep(max(0.0, due - perf_counter()))
        tasks.append(asyncio.create_task(one(due)))
        due += random.expovariate(RATE)
    await asyncio.gather(sick, *tasks)
    passed = perf_counter() - began
    await rate_limiter.close()
    link.close()
    times.sort()
    p50, p99 = percentile(times, 50), percentile(times, 99)
    may = int(LIMITS.burst + passed * LIMITS.requests_per_minute / 60) + 1
    return FaultRow(name, len(times), let_in, may, p50, p99, max(times))


async def _none(link: RedisLink) -> None:
    pass


async def _frozen(link: RedisLink) -> None:
    await asyncio.sleep(BEGINS)
    pid = await _process(link)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(ENDS - BEGINS)
    finally:
        os.kill(pid, signal.SIGCONT)


async def _killed(link: RedisLink) -> None:
    """The keeper brings it back, empty."""
    await asyncio.sleep(BEGINS)
    os.kill(await _process(link), signal.SIGKILL)


async def _flushed(link: RedisLink) -> None:
    await asyncio.sleep(BEGINS)
    for _ in range(int((ENDS - BEGINS) / FLUSH_S)):
        await link.call("FLUSHALL")
        await asyncio.sleep(FLUSH_S)


async def _process(link: RedisLink) -> int:
    try:
        told = await link.call("INFO", "server")
    except RedisGone as gone:
        raise RuntimeError("Redis is away before it was hurt") from gone
    text = told.decode() if isinstance(told, bytes) else str(told)
    return int(text.partition("process_id:")[2].split()[0])


FAULTS = {
    "well": _none,
    "frozen for 4 s": _frozen,
    "killed, comes back empty": _killed,
    "emptied 8 times": _flushed,
}
