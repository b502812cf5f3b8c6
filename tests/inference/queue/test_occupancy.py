"""How full a pool is, and each of its engines, on the real Redis."""

import asyncio

import pytest
from asgiref.sync import sync_to_async

from inference.queue.fair_queue import FairQueue
from inference.queue.occupancy import Occupancy, new_runner_id, occupancy
from tests.inference.orders import an_item
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine


async def full(pool: str) -> Occupancy:
    return (await sync_to_async(occupancy)([pool]))[pool]


async def test_what_waits_and_what_each_engine_runs(queue: FairQueue) -> None:
    items = [an_item() for _ in range(6)]
    for item in items:
        await queue.enqueue(item, b"x")
    await queue.pop(2, new_runner_id("gpu-1"))
    await queue.pop(1, new_runner_id("gpu-1"))  # another runner of the same engine
    await queue.pop(1, new_runner_id("gpu-2"))
    found = await full(queue.pool)
    assert (found.waiting, found.running) == (2, 4)
    assert found.by_engine == {"gpu-1": 3, "gpu-2": 1}
    await queue.end_lease(items[0], 1)
    assert (await full(queue.pool)).by_engine == {"gpu-1": 2, "gpu-2": 1}


async def test_what_waits_by_class_and_how_long_one_more_would(queue: FairQueue) -> None:
    for klass, n in {"realtime": 4, "batch": 2}.items():
        for _ in range(n):
            await queue.enqueue(an_item(klass=klass), b"x")
    await queue.pop(1, new_runner_id("gpu-1"))
    await asyncio.sleep(0.1)
    await queue.pop(1, new_runner_id("gpu-1"))
    first, second = (await full(queue.pool)).by_class
    assert (first.name, first.waiting, second.name, second.waiting) == ("realtime", 2, "batch", 2)
    assert first.wait_ms >= 2 * 100
    assert second.wait_ms == pytest.approx(2 * first.wait_ms, rel=0.05)


async def test_a_runner_counts_for_its_engine(bench: Bench) -> None:
    await bench.submit(3)
    engine = ScriptedEngine([60.0], slots=2)
    bench.start(engine)

    async def both_slots() -> bool:
        return (await full(bench.pool)).by_engine == {engine.config.id: 2}

    await until(both_slots)
    assert (await full(bench.pool)).waiting == 1
