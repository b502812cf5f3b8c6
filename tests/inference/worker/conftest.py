"""Pools that runners of the tests drain."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from inference import engines
from inference.engines.health import breakers
from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.worker import runner
from inference.worker.handlers import patient_asking
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.conftest import forget_pool
from tests.inference.worker.two_pools import ENGINE, Pools, second

POOL = "sweeper-test"


@pytest.fixture
async def pools(
    quick: None, pool: str, acme: Tenant, link: RedisLink, settings: Settings, monkeypatch: Any
) -> AsyncIterator[Pools]:
    monkeypatch.setattr(patient_asking, "ELSEWHERE_AFTER_S", 0.05)
    monkeypatch.setattr(patient_asking, "ENGINE_PATIENCE_S", 0.3)
    monkeypatch.setattr(runner, "LINGER_S", 30.0)
    breakers.forget()
    settings.ENGINES = {pool: {"pools": {pool: ENGINE, f"{pool}-second": ENGINE}}}
    engines.forget()
    pools = Pools(pool, acme, link)
    yield pools
    for each in pools.runners:
        each.stop()
    for drain in pools.drains:
        await drain
    await forget_pool(link, second(pools))
    await link.call("DEL", breakers.STATES_KEY)
    breakers.forget()
    engines.forget()


@pytest.fixture
def swept_pool(settings: Settings) -> Iterator[str]:
    settings.ENGINES = {POOL: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    engines.forget()
    client.cache_clear()
    forget_swept()
    yield POOL
    forget_swept()
    client().close()
    client.cache_clear()
    engines.forget()


def forget_swept() -> None:
    keys = list(client().scan_iter(f"{prefix(POOL)}:*", count=10_000))
    if keys:
        client().delete(*keys)
