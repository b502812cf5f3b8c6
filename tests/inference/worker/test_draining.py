"""One process serves several engines: in one loop, over shared connections."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest
from django.db import connection

from inference import engines
from inference.engine_entries import EngineEntry
from inference.engines.base import Engine, EngineConfig
from inference.worker.draining import Draining
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.conftest import forget_pool
from tests.inference.orders import chunk, usage
from tests.inference.running import Bench, in_database, until
from tests.inference.scripted import ScriptedEngine, Step

FIELDS = {"kind": "openai", "url": "http://127.0.0.1:9", "slots": 4}
FEW = 5  # connections to PostgreSQL of one process, however many engines it serves


def lasting(seconds: float) -> list[Step]:
    return [[chunk("a")], seconds, [chunk(finish="stop"), usage(5, 1)]]


class Process:
    """A worker process of several engines, each with a pool of its own."""

    def __init__(self, acme: Tenant, link: RedisLink) -> None:
        self._acme, self._link = acme, link
        self.draining = Draining()
        self.engines: dict[str, ScriptedEngine] = {}
        self.benches: dict[str, Bench] = {}
        self._calls: list[asyncio.Task[None]] = []

    def serve(self, *steps: list[Step]) -> list[str]:
        """Returns the pools of engines that answer with these steps."""
        pools = [f"test-{uuid4().hex}" for _ in steps]
        self.engines |= {pool: ScriptedEngine(s) for pool, s in zip(pools, steps, strict=True)}
        self.benches |= {pool: Bench(pool, self._acme, self._link) for pool in pools}
        engines.put_in_force([EngineEntry(name, name, name, FIELDS) for name in self.engines])
        return pools

    def build(self, config: EngineConfig) -> Engine:
        engine = self.engines[config.id]
        engine.config = config
        return engine

    def wake(self, pool: str) -> asyncio.Task[None]:
        """Do what a thread of Celery does with a message."""
        call = asyncio.create_task(asyncio.to_thread(self.draining.drain, pool, pool, 1))
        self._calls.append(call)
        return call

    async def speaks(self, pool: str, count: int = 1) -> bool:
        return self.engines[pool].speaking >= count

    async def end(self) -> None:
        self.draining.stop()
        await asyncio.gather(*self._calls)
        for pool in self.engines:
            await forget_pool(self._link, pool)


@pytest.fixture
async def process(
    quick: None, acme: Tenant, link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Process]:
    process = Process(acme, link)
    monkeypatch.setitem(engines.KINDS, "openai", process.build)
    yield process
    await process.end()
    engines.forget()


async def test_engines_are_served_at_once(process: Process) -> None:
    slow, quick = process.serve(lasting(5.0), lasting(0.0))
    await process.benches[slow].submit()
    process.wake(slow)
    await until(partial(process.speaks, slow))
    await process.benches[quick].submit(3)
    process.wake(quick)
    assert len(await process.benches[quick].settled(3)) == 3
    assert process.engines[slow].speaking == 1


async def test_many_engines_share_a_few_connections(process: Process) -> None:
    before = await in_database(_connections)()
    pools = process.serve(*[lasting(1.0)] * 12)
    for pool in pools:
        await process.benches[pool].submit()
        process.wake(pool)
    for pool in pools:
        await until(partial(process.speaks, pool))
    assert await in_database(_connections)() - before <= FEW
    assert len(await process.benches[pools[0]].settled(12)) == 12


async def test_they_are_opened_anew_after_a_pause(process: Process) -> None:
    (pool,) = process.serve(lasting(0.0))
    for served in (1, 2):
        await process.benches[pool].submit()
        await process.wake(pool)
        assert len(await process.benches[pool].settled(served)) == served


async def test_a_queue_is_drained_once_at_a_time(process: Process) -> None:
    (pool,) = process.serve(lasting(1.0))
    await process.benches[pool].submit()
    drain = process.wake(pool)
    await until(partial(process.speaks, pool))
    next_drain = process.wake(pool)
    await asyncio.sleep(0.1)
    await process.wake(pool)  # one waits already: this adds nothing
    assert not drain.done()
    assert not next_drain.done()
    await drain
    await next_drain
    assert len(process.engines[pool].asked) == 1


async def test_at_its_end_it_finishes_what_runs_and_begins_nothing(process: Process) -> None:
    busy, other = process.serve(lasting(0.5), lasting(0.0))
    await process.benches[busy].submit()
    drain = process.wake(busy)
    await until(partial(process.speaks, busy))
    process.draining.stop()
    await process.benches[other].submit()
    await process.wake(other)
    await drain
    assert len(await process.benches[busy].settled(1)) == 1
    assert process.engines[other].asked == []


def _connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_stat_activity where datname = current_database()")
        return int(cursor.fetchone()[0])
