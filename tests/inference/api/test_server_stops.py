"""A web process that stops waits for DRAIN_S; what still runs then is told to come again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference import engines
from inference.api.http import callers
from inference.intake import enqueue
from inference.intake.context import Context
from inference.queue.fair_queue import prefix
from infrastructure.redis.link import RedisLink
from tenants.models import ApiKey, Tenant
from tests.inference.running import until
from tests.inference.web import served, serving

in_database = database_sync_to_async


@pytest.fixture
async def context(
    settings: Settings, dsn: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Context]:
    """Nobody takes what is queued."""
    settings.ENGINES = {pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    monkeypatch.setattr(enqueue, "wake_up", lambda _: None)
    engines.forget()
    async with serving() as opened:
        yield opened
    engines.forget()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_without_an_answer_is_a_503_that_says_so(
    context: Context, acme: Tenant, pool: str, link: RedisLink, stream: bool
) -> None:
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    sent: list[dict[str, Any]] = []
    asked = {"model": pool, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    whole: list[dict[str, Any]] = [{"type": "http.request", "body": orjson.dumps(asked)}]

    async def receive() -> dict[str, Any]:
        if not whole:
            await asyncio.Event().wait()
        return whole.pop()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    running = asyncio.create_task(served(_scope(text), receive, send))
    await until(lambda: link.call("HLEN", f"{prefix(pool)}:orders"))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    start, body = sent
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"1"
    assert orjson.loads(body["body"])["error"]["code"] == "server_stopped"


async def test_what_was_begun_without_an_answer_is_not_sent_again(
    context: Context, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may be there by now: a 503 would have the SDK create another one."""

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(callers, "caller_of", never)
    sent: list[Any] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {**_scope("sk-fb-x"), "path": "/v1/files"}
    running = asyncio.create_task(served(scope, never, send))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sent == []


def _scope(key: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [
            (b"authorization", f"Bearer {key}".encode()),
            (b"content-type", b"application/json"),
        ],
        "client": ("198.51.100.122", 5000),
    }
