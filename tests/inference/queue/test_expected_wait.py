"""Who waits learns its position, and every process what a request that joins now would wait."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from inference.order import Item
from inference.queue import expected_wait, fair_queue
from inference.queue.expected_wait import QueueFigures, expected, waiting
from inference.queue.fair_queue import FairQueue, prefix
from infrastructure.redis.link import RedisLink
from tests.inference.conftest import forget_pool
from tests.inference.orders import an_item

START_S = 0.04
_running: dict[str, list[Item]] = {}  # by pool


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    expected_wait.forget()
    yield
    expected_wait.forget()


async def join(queue: FairQueue, n: int, klass: str = "realtime") -> list[expected_wait.Place]:
    return [(await queue.join(an_item(klass=klass), b"x")).place for _ in range(n)]


async def pop(queue: FairQueue, n: int) -> None:
    _running[queue.pool] = [item for item, _ in await queue.pop(n, "runner-1")]


async def fill(queue: FairQueue, n: int) -> None:
    """A runner with n slots takes so many; afterwards it takes one at a time, at a pace."""
    await join(queue, n)
    await pop(queue, n)


async def go_on(queue: FairQueue, n: int, at_once: int = 1) -> float:
    """Returns the seconds that one start took here."""
    began = time.monotonic()
    for _ in range(n):
        await asyncio.sleep(START_S * at_once)
        done, _running[queue.pool] = _running[queue.pool][:at_once], _running[queue.pool][at_once:]
        for item in done:
            await queue.end_lease(item, 1)
        _running[queue.pool] += [item for item, _ in await queue.pop(at_once, "runner-1")]
    return (time.monotonic() - began) / n / at_once


async def test_nobody_waits_while_a_slot_is_free(
    queue: FairQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_queue, "_slots", lambda _pool: 6)
    await queue.pop(4, "runner-1")  # parked
    places = await join(queue, 4)
    assert {place.position for place in places} == {0}
    assert expected(queue.pool, "realtime") == 0
    await queue.pop(5, "runner-1")
    assert [place.position for place in await join(queue, 2)] == [0, 0], "of six"


async def test_more_than_a_free_pool_has_slots_for_wait_although_they_come_at_once(
    queue: FairQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_queue, "_slots", lambda _pool: 4)
    await queue.pop(4, "runner-1")  # parked
    assert [place.position for place in await join(queue, 6)] == [0, 0, 0, 0, 1, 2]
    await queue.pop(4, "runner-1")
    assert [place.position for place in await join(queue, 1)] == [3]


async def test_those_that_wait_are_numbered(queue: FairQueue) -> None:
    await fill(queue, 2)
    assert [place.position for place in await join(queue, 3)] == [1, 2, 3]
    assert waiting(queue.pool, "realtime") == 3
    await queue.pop(1, "runner-1")
    assert [place.position for place in await join(queue, 1)] == [3]


async def test_higher_classes_go_before(queue: FairQueue) -> None:
    await fill(queue, 1)
    assert (await join(queue, 2, "batch"))[-1].position == 2
    assert (await join(queue, 3))[-1].position == 3
    assert (await join(queue, 1, "batch"))[-1].position == 6
    assert (await join(queue, 1, "preprocess"))[-1].position == 7


async def test_the_wait_is_what_those_before_take(queue: FairQueue) -> None:
    await fill(queue, 2)
    await join(queue, 30)
    start_s = await go_on(queue, 10)
    (place,) = await join(queue, 1)
    assert place.position == 21
    assert place.wait_s / 21 == pytest.approx(start_s, rel=0.2)
    assert expected(queue.pool, "realtime") == pytest.approx(place.wait_s, rel=0.1)
    assert expected(queue.pool, "batch") >= expected(queue.pool, "realtime")
    assert expected("another", "realtime") == 0


async def test_what_begins_at_once_does_not_make_a_pool_look_fast_or_slow(
    queue: FairQueue,
) -> None:
    """Four slots that are filled at once, and freed at once after a while."""
    await join(queue, 40)
    await pop(queue, 4)
    start_s = await go_on(queue, 4, at_once=4)
    assert (await queue.look()).interval_s == pytest.approx(start_s, rel=0.3)


async def test_before_the_first_is_over_what_has_passed_counts(queue: FairQueue) -> None:
    await fill(queue, 4)
    began = time.monotonic()
    await join(queue, 2)
    await asyncio.sleep(START_S * 8)
    passed_s = time.monotonic() - began
    assert (await queue.look()).interval_s == pytest.approx(passed_s / 4, rel=0.3)
    await go_on(queue, 1)
    assert (await queue.look()).interval_s >= passed_s / 4


async def test_it_drains_in_the_eyes_of_a_process_that_only_looks(queue: FairQueue) -> None:
    await fill(queue, 1)
    await join(queue, 4)
    await go_on(queue, 2)
    await queue.look()
    assert expected(queue.pool, "realtime") > 0
    await queue.pop(5, "runner-1")
    line = await queue.look()
    assert line.is_empty
    assert expected(queue.pool, "realtime") == 0


async def test_a_place_moves_up(queue: FairQueue) -> None:
    await fill(queue, 1)
    place = (await join(queue, 4))[-1]
    start_s = await go_on(queue, 2)
    await queue.look()
    moved = place.now(queue.pool)
    assert (place.position, moved.position) == (4, 2)
    assert moved.wait_s == pytest.approx(2 * start_s, rel=0.4)
    await go_on(queue, 9)
    await queue.look()
    assert place.now(queue.pool).position == 1


async def test_a_place_moves_up_when_others_give_up(queue: FairQueue) -> None:
    await fill(queue, 1)
    before = [an_item() for _ in range(6)]
    for item in before:
        await queue.enqueue(item, b"x")
    (place,) = await join(queue, 1)
    for item in before[:5]:
        assert await queue.cancel(item.id) == "queued"
    await queue.look()
    assert (place.position, place.now(queue.pool).position) == (7, 2)


async def test_a_place_is_found_again_after_everything_was_lost(
    queue: FairQueue, link: RedisLink
) -> None:
    await fill(queue, 1)
    place = (await join(queue, 5))[-1]
    await go_on(queue, 1)
    await forget_pool(link, queue.pool)
    await join(queue, 1)
    await queue.look()
    assert place.now(queue.pool).position == 1


def test_time_that_passes_shortens_the_wait() -> None:
    line = QueueFigures(full=True, interval_s=2.0, waiting={"realtime": 5})
    assert line.wait_s(5) == pytest.approx(10, abs=0.1)
    old = QueueFigures(full=True, interval_s=2.0, waiting={"realtime": 5}, at=line.at - 4)
    assert old.wait_s(5) == pytest.approx(6, abs=0.1)
    older = QueueFigures(full=True, interval_s=2.0, waiting={"realtime": 5}, at=line.at - 60)
    assert older.wait_s(5) == 0


async def test_a_pool_that_stands_still_looks_slower_as_time_passes(
    queue: FairQueue, link: RedisLink
) -> None:
    await fill(queue, 1)
    await join(queue, 10)
    await go_on(queue, 2)
    before = await queue.look()
    await asyncio.sleep(START_S * 8)
    assert (await queue.look()).interval_s > before.interval_s
    joined = (await join(queue, 1))[0]  # what joins does not forget it
    assert joined.wait_s / joined.position > before.interval_s


async def test_idle_times_do_not_count(queue: FairQueue) -> None:
    await fill(queue, 1)
    await join(queue, 3)
    await go_on(queue, 3)
    await queue.pop(1, "runner-1")
    before = await queue.look()
    assert not before.full
    await asyncio.sleep(START_S * 20)
    await join(queue, 3)
    await queue.pop(1, "runner-1")
    start_s = await go_on(queue, 1)
    assert (await queue.look()).interval_s < 3 * start_s


async def test_a_count_that_an_earlier_version_left_is_put_right(
    queue: FairQueue, link: RedisLink
) -> None:
    """It hands out without counting: nothing that waits may be counted for ever."""
    await fill(queue, 1)
    await join(queue, 3, "batch")
    await link.call("DEL", f"{prefix(queue.pool)}:orders", f"{prefix(queue.pool)}:on")
    assert (await queue.look()).is_empty
    await join(queue, 2, "batch")
    await join(queue, 1)
    found = (await queue.look()).waiting
    assert {name: n for name, n in found.items() if n} == {"realtime": 1, "batch": 2}
