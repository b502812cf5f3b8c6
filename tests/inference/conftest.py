import asyncio
from collections.abc import AsyncIterator
from typing import Protocol
from uuid import uuid4

import pytest
from django.conf import settings as configured
from django.db import connection
from psycopg.conninfo import make_conninfo
from pytest_django.fixtures import Settings

from inference.queue.fair_queue import FairQueue, prefix
from inference.worker import heartbeat, runner
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.running import Bench


class NewLink(Protocol):
    def __call__(self, url: str = ..., *, timeout_s: float | None = ...) -> RedisLink: ...


@pytest.fixture
async def new_link() -> AsyncIterator[NewLink]:
    """Makes links that are closed after the test."""
    made: list[RedisLink] = []

    def make(url: str = configured.REDIS_URL, *, timeout_s: float | None = 5.0) -> RedisLink:
        made.append(RedisLink(url, timeout_s=timeout_s))
        return made[-1]

    yield make
    for link in made:
        link.close()
    await asyncio.sleep(0)


@pytest.fixture
def link(new_link: NewLink) -> RedisLink:
    return new_link()


@pytest.fixture
async def pool(link: RedisLink) -> AsyncIterator[str]:
    """A pool of the test's own; nothing of it is left behind."""
    name = f"test-{uuid4().hex}"
    yield name
    await forget_pool(link, name)


async def forget_pool(link: RedisLink, pool: str) -> None:
    """As if Redis had lost everything about this pool."""
    cursor = b"0"
    while True:
        cursor, keys = await link.call(
            "SCAN", cursor, "MATCH", f"{prefix(pool)}:*", "COUNT", 10_000
        )
        if keys:
            await link.call("DEL", *keys)
        if cursor == b"0":
            return


@pytest.fixture
def queue(link: RedisLink, pool: str) -> FairQueue:
    return FairQueue(link, pool)


@pytest.fixture
def dsn(transactional_db: None) -> str:
    """The test database, for what goes past Django."""
    name = connection.settings_dict["NAME"]
    return make_conninfo(configured.DATABASE_URL, dbname=name, **configured.SEES_ALL)


@pytest.fixture
def acme(transactional_db: None) -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, settings: Settings, dsn: str) -> None:
    """A runner that beats often and leaves soon."""
    settings.DATABASE_URL = dsn
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.05)
    monkeypatch.setattr(runner, "LINGER_S", 0.3)


@pytest.fixture
async def bench(quick: None, pool: str, acme: Tenant, link: RedisLink) -> AsyncIterator[Bench]:
    bench = Bench(pool, acme, link)
    yield bench
    for each in bench.runners:
        each.stop()
        for running in each.requests.running.values():
            running.cancel()
    await asyncio.wait_for(asyncio.gather(*bench.drains, return_exceptions=True), 10)
