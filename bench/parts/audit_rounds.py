"""The audit's bench: requests at once, and at random moments with the trail and without."""

import asyncio
import contextlib
import gc
import os
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from time import perf_counter

import psycopg
from channels.db import database_sync_to_async
from django.conf import settings

from audit.keys.keyring import keyring
from bench.compare.comparison import tell
from bench.figures import machine
from bench.figures.statistics import percentile
from bench.parts import admission_tenants
from bench.parts.admission import Slice, Spread
from bench.parts.audit import (
    FLOODS,
    OLD,
    RATE,
    TENANTS,
    AuditReport,
    Flood,
    FloodRow,
    Sealed,
    Together,
    Waits,
)
from bench.parts.audit_path import Asking, Off, On, Write, askings, make_old_completions
from bench.parts.audit_sealing import Sealer
from bench.servers.processes import use_by_role

WARMUP_S = 1.0
HELD_S = 0.1  # as if it ran so long
LOOK_S = 0.05
PAIRS = 3  # of on and off in each round: a stall of the disk decides the p99 of one slice
_HELD = """
    select count(*) from pg_stat_activity
    where wait_event_type = 'Lock' and %s = any(pg_blocking_pids(pid))"""
in_database = database_sync_to_async


async def measured(rounds: int, seconds: float) -> AuditReport:
    tell(f"audit: {TENANTS} tenants")
    await in_database(admission_tenants.opened)(TENANTS)
    asking = await in_database(askings)()
    await in_database(admission_tenants.opened)(TENANTS, quotas=False)
    free = await in_database(askings)(quotas=False)
    await in_database(make_old_completions)(OLD)
    on, off, sealer = On(), Off(), Sealer()
    gc.collect()
    gc.freeze()  # as the web process does when it has started (config/asgi.py)
    report = AuditReport(seconds, [FloodRow(setting.name) for setting in FLOODS], [], [])
    try:
        for number in range(rounds * PAIRS):  # before the floods, which leave much to be vacuumed
            tell(f"pair {number + 1}/{rounds * PAIRS}: audit on and off at {RATE}/s")
            await both(report, on, off, asking, sealer, number)
        for number in range(rounds):
            for setting, row in zip(FLOODS, report.floods, strict=True):
                tell(f"round {number + 1}/{rounds}: audit, {setting.name}")
                whose = asking if setting.quotas else free
                row.rounds.append(await flood(on, whose, sealer, setting.requests, seconds))
    finally:
        sealer.stop()
        await asyncio.gather(on.close(), off.close())
        keyring.close()
    left = await in_database(admission_tenants.still_reserved)()
    if left and not report.failed:  # whatever failed may be open yet
        raise AssertionError(f"{left} are still set aside")
    return report


# As many at once as there are ------------------------------------------------------------------
async def flood(
    on: On, asking: Sequence[Asking], sealer: Sealer, at_once: int, seconds: float
) -> Flood:
    writes: list[Write] = []
    wrong: Counter[str] = Counter()
    counts_from = perf_counter() + WARMUP_S
    until = counts_from + seconds

    async def one_after_another(seed: int) -> int:
        draw, audited = random.Random(seed), 0
        while perf_counter() < until:
            try:
                order = on.order(draw.choice(asking))
                mine = [await on.receive(order), await on.settle(order)]
            except Exception as problem:  # whatever it is, it is counted and told
                wrong[repr(problem)] += 1
                await asyncio.sleep(0.1)
                continue
            if mine[-1].ended <= until:
                audited += mine[-1].ended > counts_from
                writes.extend(write for write in mine if write.began > counts_from)
        return audited

    sealer.begin()
    async with looked_for_waits(sealer.backend) as looks:
        use = asyncio.create_task(used(WARMUP_S, seconds))
        audited = sum(await asyncio.gather(*map(one_after_another, range(at_once))))
    tell_wrong(f"{at_once} at once", wrong)
    record = spread([write.ms for write in writes if write.received])
    together = beside(writes, sealer.rest(), looks)
    idle, cpu_ms = await use
    cpu_ms = {role: ms / max(audited, 1) for role, ms in cpu_ms.items()}
    return Flood(audited, sum(wrong.values()), seconds, idle, record, cpu_ms, together)


async def used(after: float, seconds: float) -> tuple[float, dict[str, float]]:
    """The share of the cores' time that nobody used, and milliseconds of CPU by role."""
    await asyncio.sleep(after)
    began, idle, before = perf_counter(), machine.idle_seconds(), await cpu_by_role()
    await asyncio.sleep(seconds)
    share = (machine.idle_seconds() - idle) / (perf_counter() - began) / machine.cores()
    now = await cpu_by_role()
    return share, {role: now[role] - before.get(role, 0.0) for role in now}


async def cpu_by_role() -> dict[str, float]:
    found = await asyncio.to_thread(use_by_role, [os.getpid()], role_of)
    return {role: use.cpu_ms for role, use in found.items()}


def role_of(command: str) -> str:
    roles = {
        "bench.parts.audit_sealing": "sealer",
        "postgres": "postgres",
        "valkey-server": "valkey",
    }
    return next((role for sign, role in roles.items() if sign in command), "writer")


# With the trail and without --------------------------------------------------------------------
async def both(
    report: AuditReport, on: On, off: Off, asking: Sequence[Asking], sealer: Sealer, number: int
) -> None:
    """The same moments and tenants for both; who begins takes turns."""
    found: dict[On, Slice] = {}
    for way in (on, off) if number % 2 == 0 else (off, on):
        load = Load(way, asking, report.seconds, number)
        if way is off:
            found[way] = await load.run()
        else:
            sealer.begin()
            async with looked_for_waits(sealer.backend) as looks:
                found[way] = await load.run()
            report.beside.append(beside(load.writes, sealer.rest(), looks))
    report.pairs.append((found[on], found[off]))


class Load:
    """One slice: an open loop, whatever becomes of the requests."""

    def __init__(self, way: On, asking: Sequence[Asking], seconds: float, seed: int) -> None:
        self._way, self._asking, self._seconds = way, asking, seconds
        self._random = random.Random(seed)
        self._requests: list[tuple[Write, Write]] = []
        self._wrong: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def writes(self) -> list[Write]:
        return [write for request in self._requests for write in request]

    async def run(self) -> Slice:
        due = perf_counter()
        counts_from = due + WARMUP_S
        until = counts_from + self._seconds
        use = asyncio.create_task(used(WARMUP_S, self._seconds))
        while due < until:
            if (wait := due - perf_counter()) > 0:
                await asyncio.sleep(wait)
            who = self._random.choice(self._asking)
            task = asyncio.create_task(self._one(who, due, counts=due >= counts_from))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            due += self._random.expovariate(RATE)
        await asyncio.gather(*self._tasks)
        tell_wrong(type(self._way).__name__, self._wrong)
        steps = {
            "received": spread([one.ms for one, _ in self._requests]),
            "settled": spread([other.ms for _, other in self._requests]),
            "both": spread([one.ms + other.ms for one, other in self._requests]),
        }
        idle, _ = await use
        return Slice(len(self._requests), sum(self._wrong.values()), idle, steps)

    async def _one(self, who: Asking, due: float, *, counts: bool) -> None:
        try:
            order = self._way.order(who)
            received = await self._way.receive(order)
            received.began = min(due, received.began)
            await asyncio.sleep(HELD_S)
            settled = await self._way.settle(order)
        except Exception as problem:  # whatever it is, it is counted and told
            self._wrong[repr(problem)] += 1
        else:
            if counts:
                self._requests.append((received, settled))


# Beside the sealer -----------------------------------------------------------------------------
@contextlib.asynccontextmanager
async def looked_for_waits(backend: int) -> AsyncIterator[list[int]]:
    """How many waited for the sealer, at each look."""
    looks: list[int] = []
    dsn = settings.DATABASE_URL
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:

        async def look() -> None:
            while True:
                found = await (await own.execute(_HELD, [backend], prepare=True)).fetchone()
                looks.append(found[0] if found else 0)
                await asyncio.sleep(LOOK_S)

        looking = asyncio.create_task(look())
        yield looks
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def beside(writes: Sequence[Write], sealed: Sealed, looks: Sequence[int]) -> Together:
    began = [one[0] for one in sealed.rounds]
    times: dict[bool, list[float]] = {True: [], False: []}
    for write in writes:
        place = bisect_left(began, write.ended)  # rounds before it began while the write waited
        met = place > 0 and sealed.rounds[place - 1][1] > write.began
        times[met].append(write.ms)
    return Together(
        sealing=waits(times[True]),
        resting=waits(times[False]),
        sealed_per_s=sealed.per_second,
        sealed=sum(one[2] for one in sealed.rounds) + sealed.left,
        left=sealed.left,
        looks=len(looks),
        held=sum(map(bool, looks)),
    )


def waits(times: list[float]) -> Waits:
    found = spread(times)
    return Waits(len(times), found.p50, found.p99, max(times, default=None))


def spread(times: list[float]) -> Spread:
    ordered = sorted(times)
    return Spread(percentile(ordered, 50), percentile(ordered, 99))


def tell_wrong(where: str, wrong: Counter[str]) -> None:
    for problem, count in wrong.items():
        tell(f"audit, {where}: {count} x {problem}")
