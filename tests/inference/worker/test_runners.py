"""One worker serves an engine and its new version at once; no answer is half of each."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

import orjson
import pytest

from inference import engines
from inference.engine_entries import EngineEntry
from inference.engines.base import Engine, EngineConfig, Turn, read_on
from inference.engines.transport.session import EngineSession
from inference.order import Order
from inference.queue.pool_workers import queue_of, workers_of
from inference.stream.frames import Kind
from inference.worker.runner import Runners
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.orders import chunk, usage
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine, Step

QUICK: list[Step] = [[chunk("Hel"), chunk("lo")], [chunk(finish="stop"), usage(5, 2)]]
LONG: list[Step] = [[chunk("Hel")], 60.0]


def lasting(seconds: float) -> list[Step]:
    return [[chunk("a")], seconds, [chunk("b")], [chunk(finish="stop"), usage(5, 2)]]


class GoesOn(ScriptedEngine):
    """It could take up what another engine began. Streams wait behind their first event for `gate`
    where there is one.
    """

    gate: asyncio.Event | None = None

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        async with contextlib.aclosing(super().events(session, order, turn)) as stream:
            async for events in stream:
                yield events
                if self.gate:
                    await self.gate.wait()

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        return orjson.dumps({"messages": [text]})


class Versions(Bench):
    """`v1` and `v2` of an engine, which have one worker."""

    def __init__(self, pool: str, acme: Tenant, link: RedisLink) -> None:
        super().__init__(pool, acme, link)
        self.engines: dict[str, ScriptedEngine] = {}
        self.worker: Runners | None = None

    def build(self, config: EngineConfig) -> Engine:
        engine = self.engines[config.id]
        engine.config = config
        return engine

    def serve(self, *names: str, draining: tuple[str, ...] = (), **fields: Any) -> None:
        """These are in force from now on."""
        fields = {"kind": "openai", "url": "http://127.0.0.1:9", "slots": 4, **fields}
        found = [
            EngineEntry(
                self.pool,
                self.pool,
                name,
                {**fields, "version": name},
                draining=name in draining,
                seat="v1",
            )
            for name in names
        ]
        engines.put_in_force(found)
        if self.worker:
            self.worker.look()

    def wake(self) -> None:
        self.worker = Runners(self.pool, queue_of(self.pool, "v1", 1), 1)
        self.drains.append(asyncio.create_task(self.worker.drain()))

    async def upstreams(self, order: Order) -> set[str]:
        return {frame.upstream for frame in await self.history(order) if frame.upstream}


@pytest.fixture
async def bench(
    quick: None, pool: str, acme: Tenant, link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Versions]:
    bench = Versions(pool, acme, link)
    monkeypatch.setitem(engines.KINDS, "openai", bench.build)
    bench.engines = {"v1": GoesOn(lasting(0.0)), "v2": GoesOn(QUICK), "v3": GoesOn(QUICK)}
    yield bench
    if bench.worker:
        bench.worker.stop()
    for drain in bench.drains:
        with contextlib.suppress(asyncio.CancelledError):
            await drain
    engines.forget()


async def test_the_new_version_serves_while_the_old_one_finishes(bench: Versions) -> None:
    old, new = bench.engines["v1"], bench.engines["v2"]
    assert isinstance(old, GoesOn)
    old.gate = asyncio.Event()
    bench.serve("v1")
    begun = await bench.submit(3)
    bench.wake()
    await until(partial(_speaks, old, 3))
    bench.serve("v1", "v2", draining=("v1",))
    later = await bench.submit(5)
    assert len(await bench.settled(5)) == 5
    assert (len(old.asked), len(new.asked), old.speaking) == (3, 5, 3)
    old.gate.set()
    rows = await bench.settled(8)
    assert {row.error_code for row in rows} == {""}
    for orders, engine in ((begun, "v1"), (later, "v2")):
        told = [await bench.upstreams(order) for order in orders]
        assert told == [{f"{bench.pool}/{engine}/openai/{engine}"}] * len(orders)
    await asyncio.wait_for(bench.drains[0], 30)


async def test_their_worker_can_always_be_woken(bench: Versions) -> None:
    """Its one thread is busy while the old version finishes: the new one's runner stays as long."""
    old = bench.engines["v1"]
    assert isinstance(old, GoesOn)
    old.gate = asyncio.Event()
    bench.serve("v1")
    await bench.submit(1)
    bench.wake()
    await until(partial(_speaks, old, 1))
    bench.serve("v1", "v2", draining=("v1",))
    await asyncio.sleep(0.8)  # it has lingered in vain
    await bench.submit(1)
    (row,) = await bench.settled(1)
    assert (row.error_code, old.speaking) == ("", 1)
    old.gate.set()


async def test_a_changed_engine_takes_over_when_the_old_one_has_finished(bench: Versions) -> None:
    bench.engines["v1"].turns = (lasting(0.5),)
    bench.serve("v1")
    await bench.submit(2)
    bench.wake()
    await until(partial(_speaks, bench.engines["v1"], 2))
    bench.engines["v1"] = changed = GoesOn(QUICK)
    bench.serve("v1", slots=2)
    await bench.submit(2)
    assert {row.error_code for row in await bench.settled(4)} == {""}
    assert len(changed.asked) == 2


async def test_what_one_version_began_no_other_goes_on_with(bench: Versions) -> None:
    """Its worker died in the middle of a stream, and then the new version has its place."""
    await _begun_by_v1(bench)
    bench.serve("v2")
    bench.wake()
    (row,) = await bench.settled(1)
    assert (row.error_code, bench.engines["v2"].asked) == ("worker_lost", [])


async def test_the_same_version_goes_on_with_it(bench: Versions) -> None:
    await _begun_by_v1(bench)
    bench.engines["v1"].turns = (QUICK,)
    bench.serve("v1")
    bench.wake()
    (row,) = await bench.settled(1)
    assert (row.error_code, row.attempts) == ("", 2)


async def test_what_has_given_nothing_out_begins_anew(bench: Versions) -> None:
    order = await _begun_by_v1(bench, before=[5.0])
    bench.serve("v2")
    bench.wake()
    (row,) = await bench.settled(1)
    assert (row.error_code, len(bench.engines["v2"].asked)) == ("", 1)
    assert (await bench.history(order))[-1].kind == Kind.END


async def test_a_body_is_prepared_anew_for_a_version_that_has_another_name(bench: Versions) -> None:
    bench.serve("v1", model="first")
    engine = engines.served()[bench.pool]
    await bench.submit(1, body=b'{"model":"first","messages":[]}', body_form=engine.body_form)
    bench.serve("v2", model="second")
    bench.wake()
    await bench.settled(1)
    (asked,) = bench.engines["v2"].asked
    assert orjson.loads(asked.body)["model"] == "second"


async def test_both_have_the_queue_of_the_first(bench: Versions) -> None:
    bench.serve("v1", "v2", draining=("v1",))
    assert [worker.queue for worker in workers_of(bench.pool)] == ["engine.v1"]
    assert queue_of(bench.pool, "v2", 2) == "engine2.v1"
    assert queue_of(bench.pool, "gone", 1) == "engine.gone"


async def _begun_by_v1(bench: Versions, before: list[Step] | None = None) -> Order:
    """A stream of which something was given out, and whose worker died."""
    old = bench.engines["v1"]
    old.turns = ([*(before or [[chunk("Hel")]]), 60.0],)
    bench.serve("v1")
    (order,) = await bench.submit(1)
    bench.wake()
    await until(partial(_speaks, old, 1))
    if not before:
        await until(lambda: bench.history(order))
    assert bench.worker
    (runner,) = bench.worker._running.values()
    for task in runner.slots.tasks:
        task.cancel()
    await asyncio.sleep(0)
    bench.drains[0].cancel()
    for task in bench.worker._tasks:
        task.cancel()
    bench.worker = None
    await bench.leases_run_out()
    old.asked.clear()
    return order


async def _speaks(engine: ScriptedEngine, times: int) -> bool:
    return engine.speaking == times
