"""Pages take turns: bounded in number, fair among callers, and forgotten by those who go."""

import asyncio

import pytest

from config.pages import turns as page_turns
from config.pages.turns import Busy, Lane, Turns

pytestmark = pytest.mark.unit


def lanes() -> tuple[Turns, Lane, Lane]:
    known = Lane(2, 2, waiting=100, waiting_of_one=100)
    strangers = Lane(2, 1, waiting=4, waiting_of_one=2)
    return Turns(3, (known, strangers)), known, strangers


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_neither_lane_can_have_every_place() -> None:
    turns, known, strangers = lanes()
    assert [turns.try_now(known, "alice") for _ in range(3)] == [True, True, False]
    assert turns.try_now(strangers, "203.0.113.7")
    assert not turns.try_now(strangers, "203.0.113.8"), "no place is left"
    turns.give_back(known, "alice")
    assert turns.try_now(strangers, "203.0.113.8")


def test_one_stranger_has_no_second_place() -> None:
    turns, _known, strangers = lanes()
    assert turns.try_now(strangers, "203.0.113.7")
    assert not turns.try_now(strangers, "203.0.113.7")
    assert turns.try_now(strangers, "203.0.113.8")


async def test_whoever_has_had_a_turn_goes_behind_all_others() -> None:
    turns, known, _strangers = lanes()
    order: list[str] = []

    async def ask(caller: str) -> None:
        await turns.wait(known, caller)
        order.append(caller)

    assert turns.try_now(known, "alice")
    assert turns.try_now(known, "alice")
    asking = [asyncio.create_task(ask(name)) for name in ("alice",) * 3 + ("bob", "carol")]
    await settled()
    for _ in asking:
        turns.give_back(known, order[-1] if order else "alice")
        await settled()
    assert order == ["alice", "bob", "carol", "alice", "alice"]
    assert known.waiting == 0


async def test_too_many_that_wait_are_refused_at_once() -> None:
    turns, _known, strangers = lanes()
    for address in ("a", "b"):
        assert turns.try_now(strangers, address)
    waiting = [asyncio.create_task(turns.wait(strangers, name)) for name in "aabb"]
    await settled()
    for caller in ("a", "c"):  # too many of one, and of all
        with pytest.raises(Busy):
            await turns.wait(strangers, caller)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (strangers.waiting, strangers.running) == (0, 2)


async def test_nobody_waits_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_turns, "PATIENCE_S", 0.01)
    turns, known, _strangers = lanes()
    while turns.try_now(known, "alice"):
        pass
    with pytest.raises(Busy):
        await turns.wait(known, "bob")
    assert known.waiting == 0


async def test_a_place_is_not_lost_with_who_goes_as_it_is_called() -> None:
    turns, known, _strangers = lanes()
    while turns.try_now(known, "alice"):
        pass
    waiting = asyncio.create_task(turns.wait(known, "bob"))
    await settled()
    turns.give_back(known, "alice")  # bob is called
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert known.running == 1
    assert turns.try_now(known, "carol")
