"""The inference API in the tests' own process, before an engine that makes vectors."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from aiohttp import web
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings
from redis import Redis

from inference import engines
from inference.engines.transport.session import EngineSession
from inference.intake import enqueue
from inference.models import Usage
from inference.worker import runner
from inference.worker.runner import Runner
from tenants.models import ApiKey, Tenant
from tests.inference.web import served, serving

in_database = database_sync_to_async
DIMENSIONS = 4


class VectorEngine:
    """Vectors and scores that follow from the inputs' lengths; `answer` says something else."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer: Callable[[dict[str, Any]], Any] | None = None
        self.status = 200
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST":
            return web.json_response({"data": []})
        body = orjson.loads(await request.read())
        self.asked.append((request.path, body))
        await self.goes_on.wait()
        if self.answer:
            answer = self.answer(body)
            if isinstance(answer, bytes):
                return web.Response(body=answer, status=self.status)
            return web.json_response(answer, status=self.status)
        return web.json_response(embedded(body) if "input" in body else ranked(body))

    @property
    def portions(self) -> list[int]:
        """Returns the number of inputs of each question."""
        return [len(body.get("input") or body["documents"]) for _, body in self.asked]


def vector_of(value: Any) -> list[float]:
    return [float(len(value)), 1.0, -2.0, 0.5]


def embedded(body: dict[str, Any]) -> dict[str, Any]:
    data = []
    for index, each in enumerate(body["input"]):
        embedding: Any = vector_of(each)
        if body["encoding_format"] == "base64":
            embedding = base64.b64encode(struct.pack("<4f", *embedding)).decode()
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    tokens = sum(len(each) for each in body["input"])
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": "theirs", "usage": usage}


def ranked(body: dict[str, Any]) -> dict[str, Any]:
    """The longer a document, the better."""
    scores = [(index, len(text) / 100) for index, text in enumerate(body["documents"])]
    results = [{"index": index, "relevance_score": score} for index, score in scores]
    return {"results": results[::-1], "usage": {"total_tokens": 10 * len(scores)}}


@dataclass
class House:
    """A tenant before the model `vectors`."""

    engine: VectorEngine
    tenant: Tenant
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    async def client(self, tenant: Tenant | None = None) -> httpx.AsyncClient:
        """Returns a client with a new key."""
        _, text = await in_database(ApiKey.issue)(tenant or self.tenant, "ci", by="test")
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(served, client=("198.51.100.7", 5000)),
            base_url="http://forebay",
            headers={"Authorization": f"Bearer {text}"},
            timeout=60,
        )
        self.clients.append(client)
        return client

    async def usages(self) -> list[Usage]:
        return await in_database(lambda: list(Usage.objects.order_by("created_at")))()


@asynccontextmanager
async def running(pool: str) -> AsyncIterator[None]:
    """A runner of the pool's first engine."""
    engine = engines.pools()[pool].engines[0]
    async with EngineSession() as session:
        await engine.probe(session)
    work = Runner(pool, engine)
    drain = asyncio.create_task(work.drain())
    try:
        yield
    finally:
        work.stop()
        for run in work.requests.running.values():
            run.cancel()
        await drain


@pytest.fixture
def engine() -> VectorEngine:
    return VectorEngine()


@pytest.fixture
async def house(
    engine: VectorEngine,
    quick: None,
    pool: str,
    acme: Tenant,
    valkey: Redis,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[House]:
    monkeypatch.setattr(runner, "LINGER_S", 60)
    monkeypatch.setattr(enqueue, "wake_up", lambda _pool: None)
    server = web.ServerRunner(web.Server(engine), shutdown_timeout=0.1)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    host, port = server.addresses[0][:2]
    url = f"http://{host}:{port}/v1"
    settings.ENGINES = {
        "vectors": {"pools": {pool: {"kind": "openai", "url": url, "context_length": 512}}},
        "chats": {
            "kind": "openai",
            "url": url,
            "capabilities": {"embeddings": False, "rerank": False},
        },
    }
    settings.ADDRESS_PER_MINUTE = 0
    engines.forget()
    for key in valkey.scan_iter("cache:*"):
        valkey.delete(key)
    house = House(engine, acme)
    async with running(pool), serving():
        yield house
        engine.goes_on.set()
        for client in house.clients:
            await client.aclose()
    await server.cleanup()
    engines.forget()


@pytest.fixture
async def client(house: House) -> httpx.AsyncClient:
    return await house.client()
