"""The inference API in the tests' own process, with a runner and an engine behind it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings
from redis import Redis

from inference import engines
from inference.intake.context import Context
from inference.worker import runner
from inference.worker.runner import Runner
from tenants.models import ApiKey, Tenant
from tests.inference.engine_server import EngineServer
from tests.inference.web import served, serving

in_database = database_sync_to_async


@pytest.fixture
async def engine(
    quick: None, pool: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EngineServer]:
    """That of the model `small`."""
    monkeypatch.setattr(runner, "LINGER_S", 30)
    engine = EngineServer()
    server = await asyncio.start_server(engine.take, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    configured = {"kind": "openai", "url": url, "context_length": 100_000}
    settings.ENGINES = {"small": {"pools": {pool: configured}}}
    settings.ADDRESS_PER_MINUTE = 0
    engines.forget()
    running = Runner(pool, engines.pools()[pool].engines[0])
    drain = asyncio.create_task(running.drain())
    yield engine
    for held in (engine.goes_on, engine.second_half):  # by a test that has failed
        held.set()
    running.stop()
    await drain
    server.close()
    engines.forget()


@pytest.fixture
async def context(engine: EngineServer) -> AsyncIterator[Context]:
    async with serving() as opened:
        yield opened


async def client_of(tenant: Tenant) -> httpx.AsyncClient:
    """With a new key of the tenant."""
    _, text = await in_database(ApiKey.issue)(tenant, "ci", by="test")
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(served, client=("198.51.100.7", 5000)),
        base_url="http://forebay",
        headers={"Authorization": f"Bearer {text}"},
        timeout=60,
    )


@pytest.fixture
async def client(context: Context, acme: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """acme's."""
    async with await client_of(acme) as asking:
        yield asking


@pytest.fixture
def numbered(engine: EngineServer, valkey: Redis) -> None:
    """Each answer of the engine is another one: what is the same was kept."""
    engine.numbered = True
    for key in valkey.scan_iter("cache:*"):
        valkey.delete(key)
