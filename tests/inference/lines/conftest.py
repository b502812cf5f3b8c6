"""Requests on record and in a pool's queue, on the real PostgreSQL and Redis."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.conf import settings as configured
from django.db import connection
from pytest_django.fixtures import Settings

from audit.keys.keyring import keyring
from inference import engines, request_id
from inference.order import Item, Order
from inference.queue.client import client
from inference.queue.fair_queue import FairQueue, prefix
from inference.record import request_rows, sql_statements
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.orders import an_order

MODEL = "lines-test"
Waits = Callable[..., Order]


@pytest.fixture
def pool(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One that is served, by an engine that nobody runs."""
    monkeypatch.setattr("inference.queue.pool_workers._publish", lambda _worker: None)
    name = f"{MODEL}-{uuid4().hex[:8]}"
    engine = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    settings.ENGINES = {MODEL: {"pools": {name: engine}}}
    engines.forget()
    client.cache_clear()
    yield name
    lost(name)
    client().close()
    client.cache_clear()
    engines.forget()


@pytest.fixture
def waits(acme: Tenant, pool: str) -> Waits:
    """On record since 5 s, and in the queue."""

    def waiting(tenant: Tenant = acme, **changes: Any) -> Order:
        received = time.time() - 5
        deadline = received + configured.REQUEST_DEADLINE_S
        plain = {"id": request_id.new(), "deadline": deadline, "reply_to": "", "pool": pool}
        order = an_order(
            tenant_id=tenant.id, model=MODEL, created_at=received, **{**plain, **changes}
        )
        cipher = keyring.of_subject_now(order.tenant_id, order.subject_id)
        ciphertext = request_rows.encrypted_order(order, cipher)
        with connection.cursor() as cursor:
            row = request_rows.received_row(order, ciphertext)
            cursor.execute(sql_statements.RECEIVED, [orjson.dumps([row]).decode()])
        in_queue(pool, lambda queue: queue.enqueue(order.item, ciphertext))
        return order

    return waiting


def in_queue(pool: str, work: Any) -> Any:
    async def run() -> Any:
        link = RedisLink(configured.REDIS_URL)
        try:
            return await work(FairQueue(link, pool))
        finally:
            link.close()
            await asyncio.sleep(0)

    return asyncio.run(run())


def popped(pool: str, n: int = 10) -> list[Item]:
    return [item for item, _ in in_queue(pool, lambda queue: queue.pop(n, "gpu-1-0"))]


def lost(pool: str) -> None:
    """As if Redis had lost everything of it."""
    if keys := list(client().scan_iter(f"{prefix(pool)}:*")):
        client().delete(*keys)
