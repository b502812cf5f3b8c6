"""A stream that says nothing for a while stays readable: comments keep it open, no client trips."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import httpx2
import openai
import pytest
from channels.db import database_sync_to_async
from openai.types.chat import ChatCompletionChunk
from pytest_django.fixtures import Settings

from inference import engines
from inference.api.openai import delivery
from inference.intake import answer_stream, enqueue
from inference.order import Item
from inference.queue import expected_wait, queues
from inference.queue.fair_queue import FairQueue, Popped
from inference.stream import cursor
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Writer
from infrastructure.redis.link import RedisLink
from tenants.models import ApiKey, Tenant
from tests.inference.orders import an_item, an_order, chunk
from tests.inference.running import until
from tests.inference.web import current, served, serving

in_database = database_sync_to_async
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 1}
HI: Any = [{"role": "user", "content": "hi"}]
SILENCE_S = 0.2  # of the engine, several times as long as what starts a comment
EVENTS = [chunk("Hel"), chunk("lo"), chunk("!"), chunk(finish="stop"), b"data: [DONE]"]


@pytest.fixture
async def key(
    dsn: str, pool: str, acme: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Silences and waits are counted in hundredths of a second."""
    settings.ENGINES = {pool: ENGINE}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    monkeypatch.setattr(enqueue, "wake_up", lambda _: None)
    monkeypatch.setattr(queues, "EVERY_S", 0.02)
    monkeypatch.setattr(answer_stream, "LOOK_AROUND_S", 0.03)
    monkeypatch.setattr(cursor, "QUIET_S", 0.03)
    monkeypatch.setattr(delivery, "FIRST_EVENT_S", 0.05)
    monkeypatch.setattr(delivery, "KEEP_ALIVE_S", 0.05)
    engines.forget()
    expected_wait.forget()
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    async with serving():
        yield text
    engines.forget()
    expected_wait.forget()


async def has_waited(pool: str) -> None:
    """A second request has joined the queue, and has waited for longer than its first comment."""

    async def joined() -> bool:
        return expected_wait.waiting(pool, "realtime") == 2

    await until(joined)
    await asyncio.sleep(SILENCE_S)


async def taken(queue: FairQueue) -> Item:
    """The first request in the queue, by a runner."""
    popped: Popped = await until(lambda: queue.pop(1, "runner-1"))
    [(item, _)] = popped
    return item


async def answered_slowly(item: Item, link: RedisLink) -> None:
    """The runner is silent between two events."""
    order = an_order(
        id=UUID(item.id), tenant_id=UUID(item.tenant), reply_to=current().frame_reader.web
    )
    out = Writer(link)
    for number, event in enumerate(EVENTS[:3], 1):
        out.put(order, Frame(order.id.bytes, 1, number, Kind.EVENTS, event + b"\n\n"))
        await out.drained()
        await asyncio.sleep(SILENCE_S)
    end = b"".join(event + b"\n\n" for event in EVENTS[3:])
    out.put(order, Frame(order.id.bytes, 1, len(EVENTS), Kind.END, end))
    await out.drained()


async def in_front(queue: FairQueue, tenant: Tenant) -> None:
    """Another request waits, too."""
    await queue.enqueue(an_item(str(tenant.id)), b"x")


def sdk(key: str) -> openai.AsyncOpenAI:
    transport = httpx2.ASGITransport(served, client=("198.51.100.7", 5000))
    http = httpx2.AsyncClient(transport=transport)
    return openai.AsyncOpenAI(base_url="http://f/v1", api_key=key, http_client=http, max_retries=0)


async def text_of(stream: AsyncIterator[ChatCompletionChunk]) -> str:
    """As the SDK reads it."""
    pieces = [each.choices[0].delta.content or "" async for each in stream]
    return "".join(pieces)


async def test_openais_sdk_reads_a_stream_that_waits_and_then_falls_silent(
    key: str, queue: FairQueue, link: RedisLink, acme: Tenant
) -> None:
    await in_front(queue, acme)
    async with sdk(key) as client:
        asking = asyncio.create_task(_streamed(client, queue.pool))
        await has_waited(queue.pool)
        await taken(queue)
        await asyncio.gather(answered_slowly(await taken(queue), link), asking)
        assert asking.result() == "Hello!"


async def _streamed(client: openai.AsyncOpenAI, model: str) -> str:
    async with await client.chat.completions.create(
        model=model, messages=HI, stream=True
    ) as stream:
        return await text_of(stream)


async def test_openais_sdk_reads_a_stream_again_that_falls_silent(
    key: str, queue: FairQueue, link: RedisLink
) -> None:
    async with sdk(key) as client:
        first = asyncio.create_task(_streamed(client, queue.pool))
        item = await taken(queue)
        answering = asyncio.create_task(answered_slowly(item, link))
        again = await client.get(
            f"/completions/{item.id}/events",
            cast_to=ChatCompletionChunk,
            stream=True,
            stream_cls=openai.AsyncStream[ChatCompletionChunk],
        )
        assert await text_of(again) == "Hello!"
        await asyncio.gather(answering, first)


@pytest.mark.parametrize("comment", [b": queue position 1", b": keep-alive"])
async def test_no_comment_ends_an_event(
    key: str, queue: FairQueue, link: RedisLink, acme: Tenant, comment: bytes
) -> None:
    """Decoders that keep the `id:` of the last event take a blank line for one more event."""
    await in_front(queue, acme)
    headers = {"Authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(served, client=("198.51.100.7", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://f") as client:
        body = {"model": queue.pool, "messages": HI, "stream": True}
        asking = asyncio.create_task(
            client.post("/v1/chat/completions", json=body, headers=headers)
        )
        await has_waited(queue.pool)
        await taken(queue)
        await asyncio.gather(answered_slowly(await taken(queue), link), asking)
    lines = asking.result().content.split(b"\n")
    assert comment in lines
    behind = [after for line, after in zip(lines, lines[1:], strict=False) if line[:1] == b":"]
    assert b"" not in behind
    blocks = asking.result().content.split(b"\n\n")[:-1]
    assert [block.split(b"\n")[-1] for block in blocks] == EVENTS
