"""What a request costs its tenant's turn: what it took, once, however often it was charged."""

import pytest

from inference.queue.fair_queue import FairQueue, prefix
from infrastructure.redis.link import RedisLink
from tests.inference.orders import an_item

SEALED = b"sealed"
ESTIMATE = 100  # less than AHEAD: charged as it begins


async def cost(queue: FairQueue, link: RedisLink, klass: str = "realtime") -> float:
    counter = await link.call("HGET", f"{prefix(queue.pool)}:{klass}:counters", "acme")
    return float(counter or 0)


async def runs(queue: FairQueue, link: RedisLink, klass: str = "realtime") -> int:
    return int(await link.call("HGET", f"{prefix(queue.pool)}:{klass}:runs", "acme") or 0)


@pytest.mark.parametrize("took", [40, 100, 130, 170])
@pytest.mark.parametrize("charged", [(), (150,), (120, 150, 150)])
async def test_what_it_took_counts_whatever_was_charged_meanwhile(
    queue: FairQueue, link: RedisLink, took: int, charged: tuple[int, ...]
) -> None:
    item = an_item("acme", ESTIMATE)
    await queue.enqueue(item, SEALED)
    assert [popped for popped, _ in await queue.pop(1, "runner-1")] == [item]
    assert await cost(queue, link) == ESTIMATE
    for so_far in charged:
        await queue.report_work({item: so_far})
        assert await cost(queue, link) == so_far
    assert await queue.end_lease(item, took)
    assert not await queue.end_lease(item, took)
    assert await cost(queue, link) == took


async def test_one_that_was_parked_pays_for_each_part_once(
    queue: FairQueue, link: RedisLink
) -> None:
    item = an_item("acme", ESTIMATE, klass="batch")
    await queue.enqueue(item, SEALED)
    await queue.pop(1, "runner-1")
    await queue.report_work({item: 150})
    await queue.offer(item, 1.0)
    assert await queue.park(item, 150)
    assert await cost(queue, link, "batch") == 150
    assert [popped for popped, _ in await queue.pop(1, "runner-1")] == [item]
    assert await cost(queue, link, "batch") == 150 + ESTIMATE
    assert await queue.end_lease(item, 80)
    assert await cost(queue, link, "batch") == 150 + 80


async def test_so_many_run_as_have_a_lease(queue: FairQueue, link: RedisLink) -> None:
    """By that a tenant's part of the last slots is reckoned (headroom.lua)."""
    items = [an_item("acme", ESTIMATE, klass="batch") for _ in range(3)]
    for item in items:
        await queue.enqueue(item, SEALED)
    popped = [item for item, _ in await queue.pop(3, "runner-1")]
    assert await runs(queue, link, "batch") == 3
    await queue.end_lease(popped[0], 10)
    assert await runs(queue, link, "batch") == 2
    assert not await queue.end_lease(popped[0], 10)
    assert await runs(queue, link, "batch") == 2
    await queue.offer(popped[1], 1.0)
    assert await queue.park(popped[1], 10)
    assert await runs(queue, link, "batch") == 1
    await queue.pop(1, "runner-1")
    assert await runs(queue, link, "batch") == 2
