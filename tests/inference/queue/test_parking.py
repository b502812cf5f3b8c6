"""Who has to wait again when a higher class comes to a full pool: the scripts, one by one."""

import asyncio

import pytest
from msgspec import structs

from inference.order import Item
from inference.queue import fair_queue
from inference.queue.fair_queue import SWEEP, FairQueue, prefix, sweep_arguments
from infrastructure.redis.link import RedisLink
from tests.inference.orders import an_item

SEALED = b"\x00sealed\xff"


@pytest.fixture
async def told(queue: FairQueue, link: RedisLink) -> "Told":
    return Told(queue, link)


class Told:
    """A full pool, and whom its runner has been asked to park."""

    def __init__(self, queue: FairQueue, link: RedisLink) -> None:
        self.queue, self._link = queue, link
        self._began = 1_000.0

    async def run(self, *items: Item, offered: bool = True) -> None:
        """No slot is left after them."""
        for item in items:
            await self.queue.enqueue(item, SEALED)
        assert len(await self.queue.pop(len(items), "runner-1")) == len(items)
        for item in items if offered else ():
            self._began += 1
            await self.queue.offer(item, self._began)

    async def join(self, klass: str = "realtime") -> Item:
        item = an_item(klass=klass, tenant="globex")
        await self.queue.enqueue(item, SEALED)
        return item

    async def notes(self) -> list[str]:
        """Ids, in the order of the notes; they are read by that."""
        inbox = f"{prefix(self.queue.pool)}:inbox:runner-1"
        found = await self._link.call("LRANGE", inbox, 0, -1)
        await self._link.call("DEL", inbox)
        assert all(note.startswith(b"park ") for note in found)
        return [note[5:].decode() for note in reversed(found)]

    async def notes_of_waking(self) -> None:
        await self._link.call("DEL", f"{prefix(self.queue.pool)}:inbox:runner-1")

    async def sweep(self) -> None:
        await self._link.run(SWEEP, [prefix(self.queue.pool)], *sweep_arguments(500))

    async def counter(self, klass: str, tenant: str) -> float:
        name = f"{prefix(self.queue.pool)}:{klass}:counters"
        return float(await self._link.call("HGET", name, tenant) or 0)


async def test_the_lowest_class_goes_first_and_in_it_the_newest(told: Told) -> None:
    batch, old, new = an_item(klass="batch"), *(an_item(klass="finetune") for _ in range(2))
    await told.run(batch, old, new)
    for expected in (new, old, batch):
        await told.join()
        assert await told.notes() == [expected.id]
    await told.join()
    assert await told.notes() == []


async def test_of_a_class_the_tenant_that_has_had_most_for_its_weight(told: Told) -> None:
    large = an_item("acme", estimate=900, weight=1, klass="batch")
    heavy = an_item("initech", estimate=2_000, weight=10, klass="batch")
    await told.run(large, heavy)
    await told.join()
    assert await told.notes() == [large.id]


@pytest.mark.parametrize("klass", ["batch", "finetune", "preprocess"])
async def test_nobody_makes_room_for_its_own_class_or_a_lower_one(told: Told, klass: str) -> None:
    await told.run(an_item(klass="batch"))
    await told.join(klass)
    assert await told.notes() == []


async def test_a_middle_class_pushes_out_a_lower_one(told: Told) -> None:
    low = an_item(klass="preprocess")
    await told.run(low)
    await told.join("batch")
    assert await told.notes() == [low.id]


async def test_where_a_slot_is_free_nobody_makes_room(told: Told) -> None:
    await told.run(an_item(klass="batch"))
    assert await told.queue.pop(1, "runner-2") == []
    await told.join()
    assert await told.notes() == []


async def test_one_makes_room_for_each_that_waits_and_not_more(told: Told) -> None:
    items = [an_item(klass="batch") for _ in range(4)]
    await told.run(*items)
    for _ in range(2):
        await told.join()
    assert len(await told.notes()) == 2
    for _ in range(3):
        await told.sweep()
    assert await told.notes() == []


async def test_who_comes_twice_into_the_queue_pushes_out_one(told: Told) -> None:
    await told.run(*(an_item(klass="batch") for _ in range(3)))
    item = await told.join()
    for _ in range(3):
        await told.queue.enqueue(item, SEALED)
    assert len(await told.notes()) == 1


async def test_whoever_vanishes_parks_nobody(told: Told) -> None:
    first, second = an_item(klass="batch"), an_item(klass="batch")
    await told.run(first, second)
    waiting = [await told.join(), await told.join()]
    assert await told.notes() == [second.id, first.id]
    await told.queue.cancel(waiting[0].id)
    assert not await told.queue.still_wants(second, 1_002)
    assert await told.queue.still_wants(first, 1_001)
    await told.queue.cancel(waiting[1].id)
    assert not await told.queue.still_wants(first, 1_001)
    await told.join()  # they are on offer again, as they were
    assert await told.notes() == [second.id]


async def test_for_one_that_cannot_be_parked_another_one_is_told(told: Told) -> None:
    first, second = an_item(klass="batch"), an_item(klass="batch")
    await told.run(first, second)
    await told.join()
    assert await told.notes() == [second.id]
    await told.queue.decline(second)
    assert await told.notes() == [first.id]
    await told.queue.decline(first)
    assert await told.notes() == []


async def test_who_begins_while_a_higher_class_waits_is_told_at_once(told: Told) -> None:
    item = an_item(klass="batch")
    await told.run(item, offered=False)
    await told.join()
    assert await told.notes() == []
    await told.queue.offer(item, 1_000)
    assert await told.notes() == [item.id]


async def test_a_note_that_is_lost_is_sent_again(told: Told, link: RedisLink) -> None:
    first, second = an_item(klass="batch"), an_item(klass="batch")
    await told.run(first, second)
    await told.join()
    assert await told.notes() == [second.id]
    parking = f"{prefix(told.queue.pool)}:parking"
    for member in await link.call("ZRANGE", parking, 0, -1):
        await link.call("ZADD", parking, 1, member)  # long ago
    await told.sweep()
    assert await told.notes() == [first.id]


async def test_one_that_has_ended_is_told_nothing(told: Told, link: RedisLink) -> None:
    over, lost, runs = (an_item(klass="batch") for _ in range(3))
    await told.run(runs, lost, over)
    await told.queue.offer(over, 2_000)
    await told.queue._redis.run_all(
        [told.queue.ending_lease(over, 10), told.queue.parking("over", over)]
    )
    await told.queue.end_lease(lost, 10)  # and its runner could not say so
    await told.join()
    assert await told.notes() == [runs.id]


async def test_parked_it_stands_in_front_of_its_line_as_it_was(told: Told) -> None:
    item, behind = an_item(klass="batch"), an_item(klass="batch")
    await told.run(item)
    await told.queue.enqueue(behind, SEALED)
    now = await told.join()
    assert await told.queue.park(item, 40)
    assert [found for found, _ in await told.queue.pop(3, "runner-1")] == [now, item, behind]


async def test_it_wakes_a_runner_that_has_become_idle(told: Told) -> None:
    """The request that took its slot was over before it was back in its line."""
    item = an_item(klass="batch")
    await told.run(item)
    now = await told.join()
    assert [found for found, _ in await told.queue.pop(1, "runner-1")] == [now]
    await told.queue.end_lease(now, 10)
    assert await told.queue.pop(1, "runner-1") == []
    await told.notes()
    assert await told.queue.park(item, 0)
    assert await asyncio.wait_for(told.queue.inbox("runner-1"), 1) == b"wake"


async def test_its_tenant_pays_once(told: Told) -> None:
    item = an_item("acme", estimate=100, weight=2, klass="batch")
    await told.run(item)
    assert await told.queue.park(item, 30)  # of its 100
    assert await told.counter("batch", "acme") == 15
    assert [found for found, _ in await told.queue.pop(1, "runner-1")] == [item]
    await told.queue.end_lease(item, 80 - 30)
    assert await told.counter("batch", "acme") == 40


async def test_told_again_it_is_not_taken_from_who_runs_it_by_now(told: Told) -> None:
    item = an_item(klass="batch")
    await told.run(item)
    assert await told.queue.park(item, 0, times=1)
    assert [found for found, _ in await told.queue.pop(1, "runner-2")] == [item]
    assert not await told.queue.park(item, 0, times=1)  # the answer was lost on its way
    assert await told.queue.pop(1, "runner-3") == []
    assert (await told.queue.beat("runner-2", False, [item]))[2] == []
    assert await told.queue.park(item, 0, times=2)


@pytest.mark.parametrize("how", ["parked", "its runner died"])
async def test_a_note_that_nobody_read_is_there_in_its_next_turn(
    told: Told, link: RedisLink, how: str
) -> None:
    item, day_s = an_item(klass="batch"), 24 * 3600
    await told.run(item)
    assert await told.queue.cancel(item.id) == "running"
    if how == "parked":
        assert await told.queue.park(item, 0)
    else:
        await link.call("ZADD", f"{prefix(told.queue.pool)}:leases", 1, str(item))
        await told.sweep()
    note = f"{prefix(told.queue.pool)}:cancelled:{item.id}"
    assert await link.call("TTL", note) >= day_s  # as long as it may wait


async def test_a_beat_on_its_way_does_not_make_a_full_runner_seem_free(told: Told) -> None:
    item = an_item(klass="batch")
    assert await told.queue.pop(1, "runner-1") == []
    await told.queue.enqueue(item, SEALED)  # wakes it
    await told.queue.beat("runner-1", True, [])
    assert len(await told.queue.pop(1, "runner-1")) == 1
    await told.queue.offer(item, 1_000)
    await told.notes_of_waking()
    await told.join()
    assert await told.notes() == [item.id]


async def test_whose_lease_is_lost_is_not_parked(told: Told, link: RedisLink) -> None:
    item = an_item(klass="batch")
    await told.run(item)
    await link.call("ZADD", f"{prefix(told.queue.pool)}:leases", 1, str(item))
    await told.sweep()
    assert not await told.queue.park(item, 0)
    again = structs.replace(item, attempt=2)
    assert [found for found, _ in await told.queue.pop(5, "runner-2")] == [again]


async def test_one_that_was_cancelled_meanwhile_does_not_wait_again(
    told: Told, link: RedisLink
) -> None:
    item = an_item(klass="batch")
    await told.run(item)
    await link.call("HDEL", f"{prefix(told.queue.pool)}:orders", item.id)
    assert not await told.queue.park(item, 0)
    assert await told.queue.pop(5, "runner-1") == []


async def test_a_parked_one_can_be_cancelled_and_counted(told: Told) -> None:
    item = an_item(klass="batch")
    await told.run(item)
    await told.queue.park(item, 0)
    line = await told.queue.look()
    assert line.waiting["batch"] == 1
    assert await told.queue.cancel(item.id) == "queued"
    assert await told.queue.pop(5, "runner-1") == []


async def test_who_has_its_turn_before_higher_ones_runs_through(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a minimum share would be one to begin, and never to end."""
    batch, waiting = an_item(klass="batch"), [an_item() for _ in range(3)]
    for item in (batch, *waiting):
        await told.queue.enqueue(item, SEALED)
    share = " ".join(["0|0|0|0|0|0|0", "1000|0|0|0|0|0|0", "0|0|0|0|0|0|0", "0|0|0|0|0|0|0"])
    monkeypatch.setattr(fair_queue, "turns", lambda _pool: (share, "", ""))
    assert [found for found, _ in await told.queue.pop(1, "runner-1")] == [batch]
    await told.queue.offer(batch, 1_000)
    await told.join()
    await told.sweep()
    assert await told.notes() == []
