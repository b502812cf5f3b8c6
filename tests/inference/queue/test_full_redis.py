"""A Redis whose memory is used up takes nothing new; what runs goes on and ends, for everybody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from inference.queue.fair_queue import FairQueue
from inference.stream import frames
from inference.stream.frame_reader import FrameReader
from inference.stream.frames import Kind
from inference.stream.writer import Writer
from inference.worker import heartbeat
from inference.worker import runner as module
from infrastructure.redis.link import RedisFull, RedisLink
from tenants.caller import Limits
from tenants.models import Tenant
from tenants.rate_limits.admission import Ask, SharedAdmission
from tenants.rate_limits.held_slots import HeldSlot, reacquire, release
from tests.inference.orders import a_frame, an_item, an_order, chunk, numbers, usage
from tests.inference.running import Bench
from tests.inference.scripted import ScriptedEngine
from tests.tenants.callers import caller


class Full(Protocol):
    def __call__(self) -> AbstractAsyncContextManager[None]: ...


@pytest.fixture
async def full(link: RedisLink) -> AsyncIterator[Full]:
    _, before = await link.call("CONFIG", "GET", "maxmemory")

    @asynccontextmanager
    async def fill() -> AsyncIterator[None]:
        await link.call("CONFIG", "SET", "maxmemory", 100_000)
        try:
            yield
        finally:
            await link.call("CONFIG", "SET", "maxmemory", before)

    yield fill
    await link.call("CONFIG", "SET", "maxmemory", before)


async def nothing() -> None: ...


async def test_limits_are_counted_on(link: RedisLink, full: Full) -> None:
    await link.call("FLUSHALL")  # what another test lost here would make the limits strict
    shared, acme = SharedAdmission(link, nothing), caller(limits=Limits(60, 2, 0, 9, 1, 10))
    async with full():
        asks = [Ask.of(acme, str(uuid4()), size=100_000) for _ in range(3)]
        tiers = [(await shared.admit(ask))[0].tier for ask in asks]
        assert tiers == ["", "", "rate"]
        place = HeldSlot(asks[0].request_id, asks[0].tenant, asks[0].key, 100_000)
        assert await release(link, place, 0, 0)
        await reacquire(link, place, 60)


async def test_the_queue_takes_nothing_new_and_hands_out_what_it_has(
    link: RedisLink, queue: FairQueue, full: Full
) -> None:
    first, second = an_item(), an_item()
    for item in (first, second):
        await queue.enqueue(item, b"sealed")
    async with full():
        with pytest.raises(RedisFull):
            await queue.enqueue(an_item(), b"sealed")
        popped = await queue.pop(1, "runner-1")
        assert [item for item, _ in popped] == [first]
        _, _, lost = await queue.beat("runner-1", False, [first])
        assert lost == []
        assert await queue.end_lease(first, 10)
        assert await queue.cancel(second.id) == "queued"


async def test_live_readers_get_every_event_and_nothing_is_kept(
    link: RedisLink, full: Full, settings: Settings
) -> None:
    web = f"web-{uuid4().hex}"
    returns, out = FrameReader(settings.REDIS_URL, web), Writer(link)
    order = an_order(reply_to=web)
    buffer, got = returns.expect(order.id.bytes), list[int]()
    out.put(order, a_frame(1, 2, of=order.id))
    await out.drained()
    async with full():
        for n in range(3, 30):
            out.put(order, a_frame(n, n, of=order.id))
            await asyncio.wait_for(out.drained(), 2)
        out.put(order, a_frame(30, 30, of=order.id, kind=Kind.END))
        await asyncio.wait_for(out.drained(), 2)
        while not got or got[-1] != 30:
            frame = await buffer.next(2)
            assert frame
            got += numbers(frame.body)
    assert got == list(range(1, 31))
    assert await link.call("EXISTS", frames.history(order.id.bytes)) == 0
    await returns.close()


async def test_what_runs_is_settled_and_its_leases_hold(
    link: RedisLink,
    pool: str,
    acme: Tenant,
    dsn: str,
    full: Full,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.DATABASE_URL = dsn
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.05)
    monkeypatch.setattr(module, "LINGER_S", 0.3)
    bench = Bench(pool, acme, link)
    engine = ScriptedEngine(
        [[chunk("Hel"), chunk("lo")], 0.5, [chunk(finish="stop"), usage(5, 2)]], slots=2
    )
    orders = await bench.submit(4)
    async with full():
        bench.start(engine)
        rows = await bench.settled(4)
        assert {row.completion_id for row in rows} == {order.id for order in orders}
        assert {(row.attempts, row.error_code) for row in rows} == {(1, "")}
        await asyncio.wait_for(bench.drains[0], 30)
        assert await bench.sweep() == 0
