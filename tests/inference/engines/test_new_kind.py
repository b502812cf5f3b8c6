"""A kind of engine that nobody has seen before: one class, and one line in KINDS."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference import engines
from inference.engines.base import Engine, EngineFailed, Turn, read_on
from inference.engines.transport.session import EngineSession
from inference.intake import enqueue
from inference.intake.context import Context
from inference.intake.submission import Arrival, read
from inference.intake.submit import submit
from inference.models import Usage
from inference.order import Order
from inference.stream.frames import Kind
from inference.validation.requests import Form
from inference.worker.runner import Runner
from tenants.models import ApiKey, Tenant
from tests.inference.orders import chunk, usage

in_database = database_sync_to_async


class ParrotEngine(Engine):
    """Says again what it is asked, and takes no tools."""

    can = {"tools": False}

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        words = orjson.loads(order.body)["messages"][-1]["content"].split()
        if words == ["nothing"]:
            raise EngineFailed(400, "invalid_request", "a parrot needs something to say")
        for word in words:
            yield [chunk(f"{word} ")]
        yield [chunk(finish="stop"), usage(len(words), len(words)), b"data: [DONE]"]


@pytest.fixture
async def context(
    quick: None, settings: Settings, pool: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Context]:
    monkeypatch.setitem(engines.KINDS, "parrot", ParrotEngine)  # the one line
    monkeypatch.setattr(enqueue, "wake_up", lambda _pool: None)
    settings.ENGINES = {pool: {"kind": "parrot", "url": "http://127.0.0.1:9"}}
    settings.ADDRESS_PER_MINUTE = 0
    engines.forget()
    opened = await Context.open()
    yield opened
    await opened.close()
    engines.forget()


async def asked(context: Context, acme: Tenant, pool: str, words: str) -> tuple[str, int]:
    """What a reader gets, and the status of the last frame."""
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    caller = await context.authenticator.by_key(text)
    body: dict[str, Any] = {
        "model": pool,
        "messages": [{"role": "user", "content": words}],
        "stream": True,
    }
    answer = await submit(
        context,
        read(
            caller,
            body,
            100,
            Form.CHAT,
            Arrival("/v1/chat/completions", "198.51.100.7"),
        ),
    )
    runner = Runner(pool, engines.pools()[pool].engines[0])
    said, status = "", 0
    async with _draining(runner):
        async for frame in answer.frames():
            if frame and frame.kind != Kind.ERROR:
                said += frame.body.decode()
            status = frame.status if frame else status
    return said, status


class _draining:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._runner.drain())

    async def __aexit__(self, *_: object) -> None:
        self._runner.stop()
        await self._task


async def test_it_is_served_recorded_and_billed_like_any_other(
    context: Context, acme: Tenant, pool: str
) -> None:
    said, status = await asked(context, acme, pool, "pieces of eight")
    assert status == 200
    assert '"content":"eight "' in said
    (row,) = await in_database(lambda: list(Usage.objects.all()))()
    assert (row.prompt_tokens, row.completion_tokens, row.finish_reason) == (3, 3, "stop")


async def test_its_refusals_reach_the_client(context: Context, acme: Tenant, pool: str) -> None:
    _, status = await asked(context, acme, pool, "nothing")
    assert status == 400
    (row,) = await in_database(lambda: list(Usage.objects.all()))()
    assert (row.error_code, row.finish_reason) == ("invalid_request", "error")


async def test_what_it_cannot_do_is_known(context: Context, pool: str) -> None:
    assert engines.served()[pool].capabilities.tools is False
