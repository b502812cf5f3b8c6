"""A tenant with a key at `/v1/files` and `/v1/batches`, an engine that echoes, and a driver."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, TypeVar

import httpx
import orjson
import pytest
from channels.db import database_sync_to_async
from django.db.models import Model, QuerySet
from django.utils import timezone
from pytest_django.fixtures import Settings

from inference import engines
from inference.api.batch import in_flight, run
from inference.api.batch.driver import drive
from inference.engines.transport.session import EngineSession
from inference.intake import enqueue
from inference.intake.context import Context
from inference.order import Order
from tenants.models import ApiKey, Tenant
from tests.inference.running import Bench
from tests.inference.scripted import ScriptedEngine
from tests.inference.web import served, serving

in_database = database_sync_to_async
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


M = TypeVar("M", bound=Model)


@database_sync_to_async
def rows_of(found: QuerySet[M]) -> list[M]:
    return list(found)


def line(number: int, content: str = "", **changes: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content or f"say {number}"}]
    body = {"model": "mock", "messages": messages, "max_tokens": 8}
    return {"custom_id": f"id-{number}", "method": "POST", "url": CHAT, "body": body, **changes}


def jsonl(lines: list[Any]) -> bytes:
    return b"".join(
        (each if isinstance(each, bytes) else orjson.dumps(each)) + b"\n" for each in lines
    )


class Echo(ScriptedEngine):
    """Answers with what it was asked, after `pause_s`; from the `free`th on when `gate` is open."""

    def __init__(self, slots: int = 4) -> None:
        super().__init__([b""], slots=slots)
        self.pause_s = 0.0
        self.gate = asyncio.Event()
        self.free = 10_000
        self.most = 0  # at once
        self.failure: Exception | None = None

    @property
    def said(self) -> list[str]:
        return [orjson.loads(order.body)["messages"][-1]["content"] for order in self.asked]

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        self.asked.append(order)
        number = len(self.asked)
        self.speaking += 1
        self.most = max(self.most, self.speaking)
        try:
            if number > self.free:
                await self.gate.wait()
            await asyncio.sleep(self.pause_s)
            if self.failure:
                raise self.failure
            return self._echo(orjson.loads(order.body))
        finally:
            self.speaking -= 1

    def _echo(self, body: dict[str, Any]) -> bytes:
        text = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        said = {"text": text} if "prompt" in body else {"message": {"role": "a", "content": text}}
        choice = {"index": 0, "finish_reason": "stop", **said}
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        return orjson.dumps({"id": "cmpl-engine", "choices": [choice], "usage": usage})


class Shop:
    """What a tenant does at its API, and what a process with a driver does about it."""

    def __init__(self, client: httpx.AsyncClient, context: Context, key: ApiKey) -> None:
        self.client, self.context, self.key = client, context, key
        self.drivers: list[asyncio.Task[None]] = []
        self.now: Callable[[], datetime] = timezone.now

    async def upload(self, content: bytes, **form: Any) -> httpx.Response:
        files = {"file": ("lines.jsonl", content)}
        return await self.client.post("/v1/files", data={"purpose": "batch", **form}, files=files)

    async def begin(self, lines: list[Any], endpoint: str = CHAT, **more: Any) -> dict[str, Any]:
        file = (await self.upload(jsonl(lines))).json()
        asked = {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h"}
        answer = await self.client.post("/v1/batches", json=asked | more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/v1/batches/{batch['id']}")).json()
        return found

    async def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        if file_id is None:
            return []
        answer = await self.client.get(f"/v1/files/{file_id}/content")
        assert answer.status_code == 200, answer.text
        return [orjson.loads(each) for each in answer.content.splitlines()]

    def drive(self) -> "asyncio.Task[None]":
        """A driver of its own, until nothing is due."""
        task = asyncio.create_task(drive(self.context, asyncio.Event(), self.now))
        self.drivers.append(task)
        return task

    async def done(self, batch: dict[str, Any], patience_s: float = 30) -> dict[str, Any]:
        await asyncio.wait_for(self.drive(), patience_s)
        return await self.batch(batch)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def shop(
    quick: None,
    bench: Bench,
    echo: Echo,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    acme: Tenant,
) -> AsyncIterator[Shop]:
    pools = {bench.pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.ENGINES = {"mock": {"context_length": 4096, "template_tokens": 64, "pools": pools}}
    settings.ADDRESS_PER_MINUTE = 0
    engines.forget()
    monkeypatch.setattr(run, "BEAT_S", 0.1)
    monkeypatch.setattr(in_flight, "LOOK_S", 0.2)
    monkeypatch.setattr(in_flight, "AGAIN_S", 0.05)
    monkeypatch.setattr(enqueue, "wake_up", lambda _pool: None)
    monkeypatch.setattr("inference.worker.runner.LINGER_S", 60)
    bench.start(echo)
    key, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    headers = {"Authorization": f"Bearer {text}"}
    transport = httpx.ASGITransport(served, client=("198.51.100.7", 5000))
    async with (
        serving() as context,
        httpx.AsyncClient(
            transport=transport, base_url="http://forebay", headers=headers, timeout=60
        ) as client,
    ):
        shop = Shop(client, context, key)
        yield shop
        for driver in shop.drivers:
            driver.cancel()
        await asyncio.gather(*shop.drivers, return_exceptions=True)
    engines.forget()
