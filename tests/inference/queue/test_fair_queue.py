"""The queue's promises, one by one, on the real Redis."""

import asyncio
from uuid import uuid4

import pytest
from msgspec import structs

from inference.classes import CLASSES
from inference.order import Item
from inference.queue import fair_queue
from inference.queue.fair_queue import SWEEP, FairQueue, prefix, sweep_arguments
from inference.worker.recovery.sweeper import SETTLING_MS
from infrastructure.redis.link import RedisLink
from tests.inference.conftest import forget_pool
from tests.inference.orders import an_item

SEALED = b"\x00sealed\xff"


async def swept(link: RedisLink, pool: str) -> list[str]:
    """What the sweeper's script put back into the queue."""
    _, _, *requeued = await link.run(SWEEP, [prefix(pool)], *sweep_arguments(500))
    return [request_id.decode() for request_id in requeued]


async def popped(queue: FairQueue, n: int = 1, runner: str = "runner-1") -> list[Item]:
    return [item for item, _ in await queue.pop(n, runner)]


async def test_what_goes_in_comes_out_first_come_first_served(queue: FairQueue) -> None:
    items = [an_item() for _ in range(10)]
    for n, item in enumerate(items):
        await queue.enqueue(item, SEALED + bytes([n]))
    assert await queue.pop(3, "runner-1") == [(items[n], SEALED + bytes([n])) for n in range(3)]
    assert await popped(queue, 20) == items[3:]
    assert await popped(queue) == []


async def test_classes_are_served_in_strict_order(queue: FairQueue) -> None:
    items = {klass: [an_item(klass=klass) for _ in range(3)] for klass in CLASSES}
    for klass in reversed(CLASSES):
        for item in items[klass]:
            await queue.enqueue(item, SEALED)
    assert await popped(queue, 2) == items["realtime"][:2]
    late = an_item(tenant="globex", klass="realtime")
    await queue.enqueue(late, SEALED)
    rest = [item for klass in CLASSES if klass != "realtime" for item in items[klass]]
    assert set(await popped(queue, 2)) == {items["realtime"][2], late}
    assert await popped(queue, 20) == rest


async def test_the_same_request_twice_stands_in_line_once(queue: FairQueue) -> None:
    item = an_item()
    for _ in range(3):
        await queue.enqueue(item, SEALED)
    assert await popped(queue, 5) == [item]
    await queue.enqueue(item, SEALED)  # while it runs
    assert await popped(queue, 5) == []
    await queue.end_lease(item, 10)
    assert await popped(queue, 5) == []


async def test_a_cancelled_request_is_skipped_and_costs_nothing(queue: FairQueue) -> None:
    first, second, third = (an_item(estimate=1000) for _ in range(3))
    other = an_item(tenant="globex", estimate=1000)
    for item in (first, second, third, other):
        await queue.enqueue(item, SEALED)
    assert await queue.cancel(first.id) == "queued"
    assert await queue.cancel(second.id) == "queued"
    assert await queue.cancel(second.id) == "gone"
    # acme has not been charged for the two: had it been, globex would come first
    assert await popped(queue, 2) == [third, other]


async def test_a_line_of_cancelled_requests_does_not_block_the_others(queue: FairQueue) -> None:
    for item in [an_item() for _ in range(5)]:
        await queue.enqueue(item, SEALED)
        await queue.cancel(item.id)
    good = an_item(tenant="globex")
    await queue.enqueue(good, SEALED)
    assert await popped(queue, 1) == [good]


@pytest.mark.parametrize("klass", ["realtime", "batch"])
async def test_many_cancelled_requests_are_cleared_away_a_part_at_a_time(
    queue: FairQueue, link: RedisLink, klass: str
) -> None:
    first, alive = an_item("acme", klass=klass), an_item("acme", klass=klass)
    await queue.enqueue(first, SEALED)
    await queue.cancel(first.id)
    gone = [str(an_item("acme", klass=klass)) for _ in range(2_500)]
    await link.call("LPUSH", f"{prefix(queue.pool)}:{klass}:line:acme", *gone)
    await queue.enqueue(alive, SEALED)
    pops = [await queue.pop(1, "runner-1") for _ in range(3)]
    assert [popped.again for popped in pops] == [True, True, False]
    assert [item for item, _ in pops[-1]] == [alive]


async def test_cancelling_tells_the_runner_that_has_it(queue: FairQueue, link: RedisLink) -> None:
    item = an_item()
    await queue.enqueue(item, SEALED)
    await queue.pop(1, "runner-7")
    assert await queue.cancel(item.id) == "running"
    assert await queue.inbox("runner-7") == f"cancel {item.id}".encode()
    await queue.end_lease(item, 5)
    assert await queue.cancel(item.id) == "gone"
    assert await queue.cancel("unheard-of") == "gone"


async def test_settling_twice_pays_once(queue: FairQueue) -> None:
    item = an_item(tenant=f"test-{uuid4()}")
    await queue.enqueue(item, SEALED)
    await queue.pop(1, "runner-1")
    assert await queue.end_lease(item, 5)
    assert not await queue.end_lease(item, 5)  # the lease is gone


async def test_nothing_is_left_of_what_is_done(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    items = [an_item(tenant=name, klass=k) for name in ("acme", "globex") for k in CLASSES]
    for item in items:
        await queue.enqueue(item, SEALED)
    for item in await popped(queue, 20):
        await queue.end_lease(item, 7)
    await queue.leave("runner-1", stop=True)
    _, keys = await link.call("SCAN", 0, "MATCH", f"{prefix(pool)}:*", "COUNT", 10**6)
    kinds = {key.decode().split(":")[-1] for key in keys}
    figures = {"counters", "floor", "called", "pace", "waiting", "runs", "lately"}
    assert kinds <= figures


async def test_what_was_moved_away_and_back_is_handed_out_once(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    item = an_item()
    await queue.enqueue(item, SEALED)
    assert await link.run(fair_queue.TAKE_OUT, [prefix(pool)], item.id)
    await queue.enqueue(structs.replace(item, attempt=2), SEALED)
    assert len(await popped(queue, 1, "runner-1")) == 1
    assert await popped(queue, 1, "runner-2") == []


async def test_more_runners_share_the_work(queue: FairQueue) -> None:
    items = [an_item(tenant=f"tenant-{n % 7}") for n in range(200)]
    await asyncio.gather(*[queue.enqueue(item, SEALED) for item in items])
    hands = await asyncio.gather(*[popped(queue, 7, f"runner-{n}") for n in range(40)])
    had = [item.id for hand in hands for item in hand]
    assert sorted(had) == sorted(item.id for item in items)


# Leases -----------------------------------------------------------------------------------------
@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "LEASE_MS", 60)


@pytest.mark.usefixtures("short_lease")
async def test_a_dead_runners_request_goes_back_to_the_head(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    first, second = an_item(), an_item()
    for item in (first, second):
        await queue.enqueue(item, SEALED)
    assert await popped(queue, 1) == [first]
    assert await swept(link, pool) == []
    await asyncio.sleep(0.1)
    assert await swept(link, pool) == [first.id]
    assert await swept(link, pool) == []
    again, then = await queue.pop(2, "runner-2")
    assert (again[0].id, again[0].attempt, again[1]) == (first.id, 2, SEALED)
    assert then[0] == second
    await asyncio.sleep(0.1)
    await swept(link, pool)
    assert {item.attempt for item in await popped(queue, 2)} == {2, 3}


@pytest.mark.usefixtures("short_lease")
async def test_several_requests_of_a_dead_runner_keep_their_order(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    items = [an_item() for _ in range(4)]
    for item in items:
        await queue.enqueue(item, SEALED)
    for item in items[:3]:
        assert await popped(queue, 1) == [item]
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    await swept(link, pool)
    assert [item.id for item in await popped(queue, 9)] == [item.id for item in items]


@pytest.mark.usefixtures("short_lease")
async def test_a_requeued_request_is_not_charged_twice(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    lost, rival = an_item(estimate=500), an_item(tenant="globex", estimate=600)
    await queue.enqueue(lost, SEALED)
    await popped(queue, 1)
    await asyncio.sleep(0.1)
    await swept(link, pool)
    await queue.enqueue(rival, SEALED)
    mine = an_item(estimate=1)
    await queue.enqueue(mine, SEALED)
    assert [item.id for item in await popped(queue, 2)] == [lost.id, rival.id]


@pytest.mark.usefixtures("short_lease")
async def test_one_settled_after_all_does_not_run_again(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    item = an_item()
    await queue.enqueue(item, SEALED)
    await popped(queue, 1)
    await asyncio.sleep(0.1)
    assert await swept(link, pool) == [item.id]
    assert not await queue.end_lease(item, 5)  # the runner that was thought dead has finished it
    assert await popped(queue, 1) == []


async def test_a_beat_renews_and_tells_what_was_lost(
    queue: FairQueue, link: RedisLink, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_queue, "LEASE_MS", 150)
    kept, lost = an_item(), an_item()
    for item in (kept, lost):
        await queue.enqueue(item, SEALED)
    await popped(queue, 2)
    for _ in range(4):
        await asyncio.sleep(0.05)
        waits, _, gone = await queue.beat("runner-1", False, [kept])
        assert (waits, gone) == (False, [])
    assert await swept(link, pool) == [lost.id]
    waits, _, gone = await queue.beat("runner-1", False, [kept, lost])
    assert (waits, gone) == (True, [lost])


async def test_an_epoch_is_over_its_first_moments_though_the_clock_was_set_back(
    link: RedisLink, pool: str
) -> None:
    """Else nothing that is missing would be put back for as long as that."""
    await link.run(SWEEP, [prefix(pool)], *sweep_arguments(500))
    await link.call("INCRBY", f"{prefix(pool)}:epoch", 3_600_000)
    _, age_ms, *_ = await link.run(SWEEP, [prefix(pool)], *sweep_arguments(500))
    assert age_ms > SETTLING_MS


async def test_an_epoch_begins_with_the_first_sweep_and_ends_with_the_data(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    assert (await queue.beat("runner-1", False, []))[1] == b""
    await swept(link, pool)
    _, epoch, _ = await queue.beat("runner-1", False, [])
    assert epoch
    await swept(link, pool)
    assert (await queue.beat("runner-1", False, []))[1] == epoch


# After Redis has lost everything ----------------------------------------------------------------
async def test_a_runner_puts_back_what_it_runs(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    item = an_item(tenant=f"test-{uuid4()}")
    await queue.enqueue(item, SEALED)
    await queue.pop(1, "runner-1")
    await forget_pool(link, pool)
    assert (await queue.beat("runner-1", False, [item]))[2] == [item]
    assert await queue.adopt(item, SEALED, "runner-1")
    assert await queue.adopt(item, SEALED, "runner-1")  # again, because no answer came
    assert (await queue.beat("runner-1", False, [item]))[2] == []
    assert await popped(queue, 1) == []  # it is not in line
    assert await queue.cancel(item.id) == "running"
    assert await queue.end_lease(item, 50)


async def test_it_does_not_take_back_what_another_has_by_now(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    item = an_item()
    await queue.enqueue(item, SEALED)
    await queue.pop(1, "runner-1")
    await forget_pool(link, pool)
    await queue.enqueue(structs.replace(item, attempt=2), SEALED)  # the sweeper was faster
    assert not await queue.adopt(item, SEALED, "runner-1")
    assert [found.attempt for found in await popped(queue, 1, "runner-2")] == [2]
    assert not await queue.adopt(item, SEALED, "runner-1")
