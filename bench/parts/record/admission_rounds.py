"""The rounds of the admission's part: settings take turns, requests come at random moments."""

import asyncio
import gc
import random
from collections import Counter
from time import perf_counter

from channels.db import database_sync_to_async

from bench.figures.progress import tell
from bench.figures.statistics import Spread
from bench.parts.record import tenants
from bench.parts.record.admission_path import BarePath, Path, Times, make_bare_functions
from bench.parts.record.admission_report import (
    RATE,
    SETTINGS,
    STEPS,
    TENANTS,
    AdmissionRow,
    Setting,
    Slice,
)
from bench.servers import machine

ADDRESSES = 1000
WARMUP_S = 1.0
in_database = database_sync_to_async


async def measure_rows(rounds: int, seconds: float) -> list[AdmissionRow]:
    tell(f"admission: {TENANTS:,} tenants")
    keys = await in_database(tenants.open_tenants)(TENANTS)
    await in_database(make_bare_functions)()
    path = Path()
    await path.open()
    bare = BarePath({key: await path.context.authenticator.by_key(key) for key in keys})
    await bare.open()
    beat = asyncio.create_task(path.beat())
    gc.collect()
    gc.freeze()  # as the web process does when it has started (config/asgi.py)
    rows = [AdmissionRow(setting.name) for setting in SETTINGS]
    for number in range(rounds):
        for setting, row in zip(SETTINGS, rows, strict=True):
            tell(f"round {number + 1}/{rounds}: admission, {setting.name}")
            row.rounds.append(await both(setting, path, bare, keys, seconds, number))
    beat.cancel()
    await asyncio.gather(beat, return_exceptions=True)
    await asyncio.gather(path.close(), bare.close())
    if reserved := await in_database(tenants.still_reserved)():
        raise AssertionError(f"{reserved} are still set aside")
    return rows


async def both(
    setting: Setting, path: Path, bare: Path, keys: list[str], seconds: float, number: int
) -> tuple[Slice, Slice]:
    """Measure both paths at the same moments, for the same tenants and addresses."""
    paths = [path, bare] if number % 2 == 0 else [bare, path]
    senders = keys[: setting.tenants]
    if setting.day_begins:  # for tenants that have not done a day's work already
        senders = keys[-setting.tenants :]
        await in_database(tenants.forget_the_day)()
    slices = {}
    for each in paths:
        slices[each] = await Load(each, senders, seconds, number).run()
    if setting.day_begins:
        await in_database(tenants.open_counters)()
    return slices[path], slices[bare]


class Load:
    """One slice: an open loop, whatever becomes of the requests."""

    def __init__(self, path: Path, keys: list[str], seconds: float, seed: int) -> None:
        self._path, self._keys, self._seconds = path, keys, seconds
        self._random = random.Random(seed)
        self._times: list[Times] = []
        self._wrong: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> Slice:
        due, idle = (began := perf_counter()), machine.idle_seconds()
        counts_from, until = began + WARMUP_S, began + WARMUP_S + self._seconds
        while due < until:
            if (wait := due - perf_counter()) > 0:
                await asyncio.sleep(wait)
            self._send(due, counts=due >= counts_from)
            due += self._random.expovariate(RATE)
        idle = (machine.idle_seconds() - idle) / (perf_counter() - began) / machine.cores()
        await asyncio.gather(*self._tasks)
        for wrong, count in self._wrong.items():
            tell(f"admission: {count} x {wrong}")
        return self._slice(idle)

    def _send(self, due: float, *, counts: bool) -> None:
        key = self._random.choice(self._keys)
        address = f"10.1.{self._random.randrange(ADDRESSES) // 250}.{self._random.randrange(250)}"
        task = asyncio.create_task(self._one(key, address, due, counts))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one(self, key: str, address: str, due: float, counts: bool) -> None:
        try:
            order, times = await self._path.take(key, address, due)
            if counts:
                self._times.append(times)
            await self._path.run(order)
        except Exception as problem:  # whatever it is, it is counted and told
            self._wrong[repr(problem)] += 1

    def _slice(self, idle: float) -> Slice:
        steps = {step: Spread.of(times[step] * 1000 for times in self._times) for step in STEPS}
        return Slice(len(self._times), sum(self._wrong.values()), idle, steps)
