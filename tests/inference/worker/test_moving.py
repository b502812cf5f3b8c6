"""A pool is removed while requests wait in it: they go to another of their model, or are told."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.conf import settings as configured
from django.db import connection
from pytest_django.fixtures import Settings

from audit.keys.keyring import keyring
from inference import engines
from inference.engine_entries import EngineEntry
from inference.models import Completion, Engine, Model, Pool, Usage
from inference.order import Item, Order
from inference.queue.client import client
from inference.queue.fair_queue import FairQueue, prefix
from inference.record import request_rows, sql_statements
from inference.stream import frames
from inference.worker.recovery.sweeper import sweep_all
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.orders import an_order

pytestmark = pytest.mark.django_db
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
MODEL = "moving-test"
OLD, NEW = f"{MODEL}-old", f"{MODEL}-new"


@pytest.fixture(autouse=True)
def serve(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("inference.queue.pool_workers._publish", lambda _worker: None)

    def serving(**pools: Any) -> None:
        settings.ENGINES = {MODEL: {"pools": pools}} if pools else {}
        engines.forget()

    serving(**{OLD: ENGINE, NEW: ENGINE})
    client.cache_clear()
    yield serving
    if keys := list(client().scan_iter(f"q:{{{MODEL}-*")):
        client().delete(*keys)
    client().close()
    client.cache_clear()
    engines.forget()


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


def waiting(acme: Tenant, **changes: Any) -> Order:
    """On record and in the old pool's queue."""
    received = time.time() - 5
    deadline = received + configured.REQUEST_DEADLINE_S
    changes = {"deadline": deadline, "reply_to": "", "pool": OLD, **changes}
    order = an_order(tenant_id=acme.id, model=MODEL, created_at=received, **changes)
    cipher = keyring.of_subject_now(order.tenant_id, order.subject_id)
    ciphertext = request_rows.encrypted_order(order, cipher)
    with connection.cursor() as cursor:
        row = request_rows.received_row(order, ciphertext)
        cursor.execute(sql_statements.RECEIVED, [orjson.dumps([row]).decode()])
    in_queue(OLD, lambda queue: queue.enqueue(order.item, ciphertext))
    return order


def in_queue(pool: str, work: Any) -> Any:
    async def run() -> Any:
        link = RedisLink(configured.REDIS_URL)
        try:
            return await work(FairQueue(link, pool))
        finally:
            link.close()
            await asyncio.sleep(0)

    return asyncio.run(run())


def popped(pool: str) -> list[str]:
    found: list[tuple[Item, bytes]] = in_queue(pool, lambda queue: queue.pop(10, "runner-1"))
    return [item.id for item, _ in found]


def pool_of(order: Order) -> str:
    return Completion.objects.get(pk=order.id).pool


def test_what_waits_goes_to_another_pool_of_its_model(acme: Tenant, serve: Any) -> None:
    orders = [waiting(acme) for _ in range(3)]
    serve(**{NEW: ENGINE})
    sweep_all()
    assert {pool_of(order) for order in orders} == {NEW}
    assert popped(OLD) == []
    assert sorted(popped(NEW)) == sorted(str(order.id) for order in orders)
    sweep_all()
    assert not Usage.objects.exists()


def test_where_there_is_no_other_it_ends_with_a_reason(acme: Tenant, serve: Any) -> None:
    order = waiting(acme, reply_to=f"web-{uuid4().hex}")
    serve()
    sweep_all()
    usage = Usage.objects.get()
    assert (usage.status, usage.error_code) == (503, "pool_removed")
    channel = frames.channel(order.reply_to)
    told: Any = client().xrange(channel)
    client().delete(channel)
    (frame,) = frames.decrypted(told[0][1][b"f"], channel.encode())
    assert (frame.id, frame.kind, frame.status) == (order.id.bytes, frames.Kind.ERROR, 503)
    assert b"was removed" in frame.body
    assert frame.retry_after > 0


def test_what_must_stay_here_does_not_leave(acme: Tenant, serve: Any) -> None:
    order = waiting(acme, local_only=True)
    serve(**{NEW: {**ENGINE, "hosted": True}})
    sweep_all()
    assert Usage.objects.get().error_code == "pool_removed"
    assert pool_of(order) == OLD
    assert popped(NEW) == []


def test_what_a_runner_has_begun_it_finishes(acme: Tenant, serve: Any) -> None:
    order = waiting(acme)
    assert popped(OLD) == [str(order.id)]
    serve(**{NEW: ENGINE})
    sweep_all()
    assert pool_of(order) == OLD
    leases: Any = client().zrange(f"{prefix(OLD)}:leases", 0, -1)
    for item in leases:  # the runner died
        client().zadd(f"{prefix(OLD)}:leases", {item: 0})
    sweep_all()
    assert pool_of(order) == NEW
    assert popped(NEW) == [str(order.id)]


def test_a_pool_that_is_news_to_this_process_keeps_its_requests(acme: Tenant, serve: Any) -> None:
    order = waiting(acme)
    pool = Pool.add(Model.add(MODEL, by="test"), OLD, by="test")
    Engine.add(pool, OLD, by="test", **ENGINE)
    serve(**{NEW: ENGINE})
    sweep_all()
    assert pool_of(order) == OLD


def old_one_drains(**other: Any) -> None:
    new = {**ENGINE, **other}
    engines.put_in_force(
        [EngineEntry(MODEL, OLD, OLD, ENGINE, draining=True), EngineEntry(MODEL, NEW, NEW, new)]
    )


def test_what_waits_in_a_pool_that_drains_goes_to_another(acme: Tenant) -> None:
    begun = waiting(acme)
    assert popped(OLD) == [str(begun.id)]
    order = waiting(acme)
    old_one_drains()
    sweep_all()
    assert (pool_of(begun), pool_of(order)) == (OLD, NEW)
    assert (popped(OLD), popped(NEW)) == ([], [str(order.id)])


def test_what_may_go_nowhere_waits_on_while_its_pool_drains(acme: Tenant) -> None:
    order = waiting(acme, local_only=True)
    old_one_drains(hosted=True)
    sweep_all()
    assert pool_of(order) == OLD
    assert not Usage.objects.exists()
    assert (popped(NEW), popped(OLD)) == ([], [str(order.id)])
