"""What an operator is told of a queue, in one bounded call."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from redis import Redis

from inference import request_id
from inference.order import Item
from inference.queue.fair_queue import FairQueue
from inference.queue.occupancy import new_runner_id
from inference.queue_control import overview as overviews
from inference.queue_control.overview import ClassLines, Overview, TenantLine, overview
from inference.queue_control.tenant_queue import own_lines
from tests.inference.orders import an_item


async def seen(queue: FairQueue) -> Overview:
    return await sync_to_async(overview)(queue.pool)


async def joined(queue: FairQueue, tenant: str, n: int, klass: str = "realtime") -> list[Item]:
    items = [an_item(tenant, klass=klass, id=str(request_id.new())) for _ in range(n)]
    for item in items:
        await queue.enqueue(item, b"x")
    return items


def of(found: Overview, klass: str) -> ClassLines:
    return next(each for each in found.classes if each.name == klass)


def lengths(lines: tuple[TenantLine, ...]) -> dict[str, tuple[int, int]]:
    """Of each tenant: what waits and what runs."""
    return {line.tenant: (line.waiting, line.running) for line in lines}


async def test_by_class_and_tenant(queue: FairQueue) -> None:
    await joined(queue, "acme", 3)
    await joined(queue, "globex", 1)
    await joined(queue, "acme", 5, "batch")
    await queue.pop(2, new_runner_id("gpu-1"))
    found = await seen(queue)
    assert (found.waiting, found.running) == (7, 2)
    realtime, batch = of(found, "realtime"), of(found, "batch")
    assert (realtime.waiting, realtime.running, batch.waiting, batch.running) == (2, 2, 5, 0)
    assert lengths(realtime.lines) == {"acme": (2, 1), "globex": (0, 1)}
    assert lengths(batch.lines) == {"acme": (5, 0)}
    assert [each.name for each in found.classes][:2] == ["realtime", "batch"]


async def test_how_long_the_oldest_has_waited(queue: FairQueue) -> None:
    await joined(queue, "acme", 1)
    await asyncio.sleep(0.2)
    await joined(queue, "globex", 1)
    realtime = of(await seen(queue), "realtime")
    by_tenant = {line.tenant: line.oldest_s or 0 for line in realtime.lines}
    assert realtime.oldest_s == pytest.approx(by_tenant["acme"], abs=0.1)
    assert by_tenant["acme"] >= by_tenant["globex"] + 0.2
    await queue.enqueue(an_item("initech", id=str(uuid4())), b"x")  # an id that says no time
    assert lengths(of(await seen(queue), "realtime").lines)["initech"] == (1, 0)


async def test_who_was_cancelled_does_not_wait(queue: FairQueue) -> None:
    first, second, _third = await joined(queue, "acme", 3)
    (alone,) = await joined(queue, "globex", 1)
    for item in (first, second, alone):
        assert await queue.cancel(item.id) == "queued"
    (line,) = of(await seen(queue), "realtime").lines
    assert (line.tenant, line.waiting) == ("acme", 1)


async def test_a_thousand_tenants(queue: FairQueue, monkeypatch: Any) -> None:
    for n in range(1_000):
        await joined(queue, f"tenant-{n:03}", 3 if n in (7, 8) else 1)
    found = of(await seen(queue), "realtime")
    assert (found.waiting, found.tenants, len(found.lines)) == (1_004, 1_000, overviews.MOST_LINES)
    assert [line.tenant for line in found.lines[:2]] == ["tenant-007", "tenant-008"]
    assert found.more == 1_000 - overviews.MOST_LINES


async def test_it_changes_nothing(queue: FairQueue, valkey: Redis) -> None:
    await joined(queue, "acme", 3)
    keys = sorted(valkey.keys(f"q:{{{queue.pool}}}:*"))
    before = [valkey.dump(key) for key in keys]
    await seen(queue)
    assert [valkey.dump(key) for key in sorted(valkey.keys(f"q:{{{queue.pool}}}:*"))] == before


async def test_nothing_waits(queue: FairQueue) -> None:
    found = await seen(queue)
    assert (found.waiting, found.running) == (0, 0)
    assert not any(each.lines for each in found.classes)


async def test_who_was_parked_waits_and_is_told_apart(queue: FairQueue) -> None:
    items = await joined(queue, "acme", 3, "batch")
    await queue.pop(2, new_runner_id("gpu-1"))
    assert await queue.park(items[1], 0)
    batch = of(await seen(queue), "batch")
    assert (batch.waiting, batch.running, batch.parked, batch.lines[0].parked) == (2, 1, 1, 1)
    (line,) = await sync_to_async(own_lines)("acme", [queue.pool])
    assert [(one.id, one.parked) for one in line.requests] == [
        (items[1].id, True),
        (items[2].id, False),
    ]
    await queue.pop(1, new_runner_id("gpu-1"))
    assert of(await seen(queue), "batch").parked == 0
