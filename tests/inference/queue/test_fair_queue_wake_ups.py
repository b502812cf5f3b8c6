"""Who is told that there is work: a parked runner, else the caller, and not again at once."""

import asyncio

from inference.queue.fair_queue import SWEEP, FairQueue, prefix, sweep_arguments
from infrastructure.redis.link import RedisLink
from tests.inference.conftest import NewLink
from tests.inference.orders import an_item

SEALED = b"sealed"


async def sweep_wants_a_wake_up(link: RedisLink, pool: str) -> bool:
    wake, *_ = await link.run(SWEEP, [prefix(pool)], *sweep_arguments(500))
    return bool(wake)


async def a_second_later(link: RedisLink, pool: str) -> None:
    """As if the throttle on wake-ups had run out."""
    await link.call("DEL", f"{prefix(pool)}:called")


async def test_with_nobody_alive_the_caller_publishes_once(queue: FairQueue) -> None:
    assert await queue.enqueue(an_item(), SEALED)
    assert not await queue.enqueue(an_item(), SEALED)
    await asyncio.sleep(1.05)  # the throttle
    assert await queue.enqueue(an_item(), SEALED)
    assert not await queue.enqueue(an_item(), SEALED)


async def test_a_parked_runner_is_woken_instead(
    queue: FairQueue, new_link: NewLink, pool: str
) -> None:
    assert await queue.pop(1, "runner-1") == []  # comes up short: parked
    ear = FairQueue(new_link(timeout_s=None), pool)
    note = asyncio.ensure_future(ear.inbox("runner-1"))
    await asyncio.sleep(0.02)
    assert not await queue.enqueue(an_item(), SEALED)
    assert await asyncio.wait_for(note, 30) == b"wake"


async def test_each_parked_runner_is_woken_once(queue: FairQueue) -> None:
    for n in range(3):
        await queue.pop(1, f"runner-{n}")
    told = [await queue.enqueue(an_item(), SEALED) for _ in range(4)]
    assert told == [False, False, False, True]
    notes = [await asyncio.wait_for(queue.inbox(f"runner-{n}"), 1) for n in range(3)]
    assert notes == [b"wake"] * 3


async def test_a_busy_runner_that_lives_is_enough(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    await queue.enqueue(an_item(), SEALED)
    await queue.pop(1, "runner-1")  # full: not parked
    await queue.beat("runner-1", False, [])
    await a_second_later(link, pool)
    assert not await queue.enqueue(an_item(), SEALED)
    await asyncio.sleep(1.55)  # no beat any more
    assert await queue.enqueue(an_item(), SEALED)


async def test_a_beat_parks_again_and_says_when_work_waits(queue: FairQueue, pool: str) -> None:
    waits, _, _ = await queue.beat("runner-1", True, [])
    assert not waits
    assert not await queue.enqueue(an_item(), SEALED)
    assert await asyncio.wait_for(queue.inbox("runner-1"), 1) == b"wake"
    waits, _, _ = await queue.beat("runner-1", False, [])
    assert waits


async def test_a_runner_may_not_leave_while_work_waits(queue: FairQueue) -> None:
    item = an_item()
    await queue.enqueue(item, SEALED)
    assert not await queue.leave("runner-1", stop=False)
    await queue.pop(2, "runner-1")
    assert await queue.leave("runner-1", stop=False)


async def test_one_that_left_is_neither_parked_nor_alive(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    for stop in (False, True):
        await queue.pop(1, "runner-1")
        await queue.beat("runner-1", True, [])
        assert await queue.leave("runner-1", stop=stop)
        assert await queue.enqueue(an_item(), SEALED)
        await queue.pop(1, "runner-2")
        await a_second_later(link, pool)


async def test_stopping_does_not_ask_whether_work_waits(queue: FairQueue) -> None:
    await queue.enqueue(an_item(), SEALED)
    assert await queue.leave("runner-1", stop=True)


async def test_leaving_does_not_hide_another_runner(queue: FairQueue) -> None:
    await queue.beat("runner-1", False, [])
    await queue.beat("runner-2", False, [])
    await queue.leave("runner-1", stop=True)
    assert not await queue.enqueue(an_item(), SEALED)


async def test_the_sweeper_sees_to_work_that_nobody_runs(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    assert not await sweep_wants_a_wake_up(link, pool)
    await queue.enqueue(an_item(), SEALED)  # its wake-up is lost
    assert not await sweep_wants_a_wake_up(link, pool)  # one is on its way
    await a_second_later(link, pool)
    assert await sweep_wants_a_wake_up(link, pool)
    assert not await sweep_wants_a_wake_up(link, pool)
    await queue.beat("runner-1", False, [])
    await a_second_later(link, pool)
    assert not await sweep_wants_a_wake_up(link, pool)  # somebody lives


async def test_the_sweeper_wakes_a_runner_that_missed_its_note(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    await queue.beat("runner-1", True, [])
    await queue.enqueue(an_item(), SEALED)
    await queue.inbox("runner-1")
    await queue.beat("runner-1", True, [])  # parked, in spite of the note
    assert not await sweep_wants_a_wake_up(link, pool)
    assert await asyncio.wait_for(queue.inbox("runner-1"), 1) == b"wake"
