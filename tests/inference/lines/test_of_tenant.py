"""What a tenant is told of its own requests that wait, and why they do."""

import asyncio

from asgiref.sync import sync_to_async

from inference.queue.fair_queue import FairQueue
from inference.queue.occupancy import new_runner_id
from inference.queue_control.tenant_queue import ADVICE, OwnLine, Reason, causes, own_lines
from tests.inference.orders import an_item


async def seen(queue: FairQueue, tenant: str = "acme", most: int = 50) -> list[OwnLine]:
    return await sync_to_async(own_lines)(tenant, [queue.pool], most)


async def test_each_of_its_requests_in_turn(queue: FairQueue) -> None:
    items = [an_item(weight=4) for _ in range(3)]
    for item in items:
        await queue.enqueue(item, b"x")
    (line,) = await seen(queue)
    assert (line.pool, line.klass, line.waiting, line.weight) == (queue.pool, "realtime", 3, 4)
    assert [one.id for one in line.requests] == [item.id for item in items]
    assert [(one.own_before, one.position) for one in line.requests] == [(0, 1), (1, 2), (2, 3)]
    assert not line.higher_classes
    assert not line.takes_turns
    (few,) = await seen(queue, most=2)
    assert (len(few.requests), few.more) == (2, 1)


async def test_others_move_its_position_and_are_not_told(queue: FairQueue) -> None:
    for tenant, klass, n in (("globex", "realtime", 5), ("initech", "batch", 9)):
        for _ in range(n):
            await queue.enqueue(an_item(tenant, klass=klass), b"x")
    for _ in range(2):
        await queue.enqueue(an_item("acme", klass="batch"), b"x")
    (line,) = await seen(queue)
    assert [one.position for one in line.requests] == [7, 9]  # 5 above, then by turns
    assert line.higher_classes
    assert line.takes_turns
    assert "globex" not in repr(line)
    assert "initech" not in repr(line)


async def test_what_is_expected(queue: FairQueue) -> None:
    for _ in range(6):
        await queue.enqueue(an_item(), b"x")
    for _ in range(2):
        await queue.pop(1, new_runner_id("gpu-1"))
        await asyncio.sleep(0.1)
    await queue.pop(1, new_runner_id("gpu-1"))
    (line,) = await seen(queue)
    waits = [one.wait_ms for one in line.requests]
    assert line.full
    assert waits[0] >= 90
    assert waits == sorted(waits)


async def test_who_has_nothing_waiting(queue: FairQueue) -> None:
    item = an_item()
    await queue.enqueue(item, b"x")
    assert await seen(queue, "globex") == []
    await queue.cancel(item.id)
    assert await seen(queue) == []


def a_line(**changes: object) -> OwnLine:
    plain = {"pool": "mock", "klass": "batch", "waiting": 1, "requests": (), "weight": 1}
    flags = {"higher_classes": False, "takes_turns": False, "full": False}
    return OwnLine(**{**plain, **flags, **changes})  # type: ignore[arg-type]


def why(**changes: object) -> list[Reason]:
    return [cause.reason for cause in causes(a_line(**changes))]


def test_each_reason_stands_for_something_seen() -> None:
    assert why() == [Reason.STARTING]
    assert why(pool="nowhere")[0] == Reason.NO_ENGINE
    assert why(higher_classes=True, full=True) == [Reason.HIGHER_CLASSES, Reason.FULL]
    assert why(takes_turns=True, waiting=2) == [Reason.TURNS, Reason.OWN_BACKLOG]


def test_each_reason_has_advice() -> None:
    assert set(ADVICE) == set(Reason)
