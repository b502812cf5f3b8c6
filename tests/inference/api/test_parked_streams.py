"""A batch stream that gives its slot away falls silent, and its reader does not trip over that."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from channels.db import database_sync_to_async
from openai.types.chat import ChatCompletionChunk
from pytest_django.fixtures import Settings

from inference import engines
from inference.api.openai import delivery
from inference.intake import answer_stream, enqueue
from inference.queue import expected_wait
from inference.stream import cursor
from inference.worker import runner
from tenants.models import ApiKey
from tests.inference.continuing import WHOLE, GoesOn
from tests.inference.running import Bench, until
from tests.inference.web import served, serving

in_database = database_sync_to_async
HI: Any = [{"role": "user", "content": "hi"}]
BATCH = {"x-forebay-class": "batch"}
COMMENT = b": keep-alive\n"


class Wire:
    """What this platform sends to a client."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def pass_on(message: Any) -> None:
            self.pieces.append(message.get("body", b""))
            await send(message)

        await served(scope, receive, pass_on)

    def comments_after_text(self) -> int:
        texts = [n for n, piece in enumerate(self.pieces) if b" w0" in piece]
        return sum(COMMENT in piece for piece in self.pieces[texts[0] :]) if texts else 0


@pytest.fixture
async def key(
    bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Silences and waits are counted in hundredths of a second."""
    settings.ENGINES = {bench.pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 1}}
    settings.ADDRESS_PER_MINUTE = 0
    monkeypatch.setattr(enqueue, "wake_up", lambda _: None)
    monkeypatch.setattr(runner, "LINGER_S", 60)
    monkeypatch.setattr(answer_stream, "LOOK_AROUND_S", 0.03)
    monkeypatch.setattr(cursor, "QUIET_S", 0.03)
    monkeypatch.setattr(delivery, "FIRST_EVENT_S", 0.05)
    monkeypatch.setattr(delivery, "KEEP_ALIVE_S", 0.05)
    engines.forget()
    expected_wait.forget()
    _, text = await in_database(ApiKey.issue)(bench.acme, "ci", by="test")
    async with serving():
        yield text
    engines.forget()
    expected_wait.forget()


def sdk(key: str, wire: Wire) -> openai.AsyncOpenAI:
    transport = httpx2.ASGITransport(wire, client=("198.51.100.7", 5000))
    http = httpx2.AsyncClient(transport=transport)
    return openai.AsyncOpenAI(base_url="http://f/v1", api_key=key, http_client=http, max_retries=0)


async def text_of(stream: AsyncIterator[ChatCompletionChunk]) -> str:
    """As the SDK reads it."""
    return "".join([each.choices[0].delta.content or "" async for each in stream])


async def streamed(client: openai.AsyncOpenAI, model: str, **more: Any) -> str:
    creating = client.chat.completions.create(model=model, messages=HI, stream=True, **more)
    async with await creating as stream:
        return await text_of(stream)


async def read_again(client: openai.AsyncOpenAI, bench: Bench) -> str:
    """From its first event, while it runs."""
    [running] = [h for each in bench.runners for h in each.requests.running.values()]
    stream = await client.get(
        f"/completions/{running.order.id}/events",
        cast_to=ChatCompletionChunk,
        stream=True,
        stream_cls=openai.AsyncStream[ChatCompletionChunk],
    )
    return await text_of(stream)


async def test_openais_sdk_reads_a_batch_stream_through_its_silence_while_it_is_parked(
    key: str, bench: Bench
) -> None:
    engine, wire, second, other = GoesOn(), Wire(), Wire(), Wire()
    bench.start(engine)
    async with sdk(key, wire) as client, sdk(key, second) as again, sdk(key, other) as urgent:
        batch = asyncio.create_task(streamed(client, bench.pool, extra_headers=BATCH))
        await until(lambda: has_text(wire))
        engine.going.clear()
        rereading = asyncio.create_task(read_again(again, bench))
        await until(lambda: has_text(second))
        realtime = asyncio.create_task(streamed(urgent, bench.pool, max_tokens=3))
        await until(lambda: are_asked(engine, ["batch", "realtime"]))
        silent_since = wire.comments_after_text(), second.comments_after_text()
        await until(lambda: have_commented(silent_since, wire, second))
        assert not batch.done()
        engine.going.set()
        texts = await asyncio.gather(batch, rereading, realtime)
    assert engine.begun == ["batch", "realtime", "batch"]
    assert [*texts] == [WHOLE, WHOLE, " w0 w1 w2"]


async def has_text(wire: Wire) -> bool:
    return any(b" w0" in piece for piece in wire.pieces)


async def are_asked(engine: GoesOn, classes: list[str]) -> bool:
    return engine.begun == classes


async def have_commented(before: tuple[int, int], *wires: Wire) -> bool:
    """Each has sent two comments since."""
    after = [wire.comments_after_text() for wire in wires]
    return all(now >= then + 2 for then, now in zip(before, after, strict=True))
