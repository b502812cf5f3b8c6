"""A vLLM that says as whom it answers, and the inference API before it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference import engines
from inference.engines import adapters
from inference.intake.context import Context
from inference.worker import runner
from inference.worker.runner import Runner
from tenants.models import ApiKey, Tenant
from tests.inference.engine_server import EngineServer
from tests.inference.web import served, serving

BASE = "small"
in_database = database_sync_to_async


class Vllm(EngineServer):
    """Each answer is the name of the model that was asked for, as the server knows it."""

    def _whole(self, body: dict[str, Any]) -> bytes:
        self.words = [str(body.get("model", ""))]
        return super()._whole(body)

    def _stream(self, body: dict[str, Any]) -> bytes:
        self.words = [str(body["model"])]
        return super()._stream(body)

    @property
    def loaded(self) -> list[str]:
        return [body["lora_name"] for body in self.asked if "lora_name" in body]


@pytest.fixture
async def vllm(
    quick: None, pool: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Vllm]:
    """That of the model `small`."""
    monkeypatch.setattr(runner, "LINGER_S", 30)
    engine = Vllm()
    server = await asyncio.start_server(engine.take, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    configured = {"kind": "vllm", "url": url, "loads_adapters": True, "context_length": 4096}
    settings.ENGINES = {BASE: {"pools": {pool: configured}}}
    settings.ADDRESS_PER_MINUTE = 0
    engines.forget()
    running = Runner(pool, engines.pools()[pool].engines[0])
    drain = asyncio.create_task(running.drain())
    yield engine
    running.stop()
    await drain
    server.close()
    engines.forget()
    adapters.put_in_force([], [])


@pytest.fixture
async def context(vllm: Vllm) -> AsyncIterator[Context]:
    async with serving() as opened:
        yield opened


async def client_of(tenant: Tenant, **settings: Any) -> httpx.AsyncClient:
    """With a new key of the tenant."""
    _, text = await in_database(ApiKey.issue)(tenant, "ci", by="test", **settings)
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
