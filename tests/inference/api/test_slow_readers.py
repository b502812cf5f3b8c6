"""A client that does not read its stream: dropped with a clear end, and it can read on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference import engines
from inference.api.call import Call
from inference.api.http.request import Request
from inference.api.openai.delivery import send_events
from inference.intake import enqueue
from inference.intake.context import Context
from inference.queue.fair_queue import FairQueue
from inference.stream import reader_buffer
from inference.stream.cursor import follow
from inference.stream.frames import Kind
from inference.stream.writer import Writer
from infrastructure.redis.link import RedisLink
from tenants.caller import Caller
from tenants.models import ApiKey, Tenant
from tests.inference.intake.submissions import submit
from tests.inference.orders import a_frame, numbers
from tests.tenants.callers import caller as a_caller

in_database = database_sync_to_async


@pytest.fixture
async def context(
    settings: Settings, dsn: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Context]:
    settings.ENGINES = {pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    monkeypatch.setattr(enqueue, "wake_up", lambda pool: None)
    monkeypatch.setattr(reader_buffer, "STREAM_BYTES", 500)
    engines.forget()
    opened = await Context.open()
    yield opened
    await opened.close()
    engines.forget()


@pytest.fixture
async def caller(acme: Tenant) -> Caller:
    key, _ = await in_database(ApiKey.issue)(acme, "ci", by="test")
    return a_caller(
        tenant_id=acme.id,
        actor=key.actor,
        subject_id=key.subject_id,
        credential=bytes(key.digest),
        api_key_id=key.id,
        scopes=frozenset({"inference"}),
    )


class Client:
    """Reads `sent` only while `reads` is set."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.stuck = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: dict[str, Any]) -> None:
        self.stuck.set()
        await self.reads.wait()
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def test_its_reader_is_told_and_reads_on(
    context: Context, acme: Tenant, link: RedisLink, queue: FairQueue, caller: Caller
) -> None:
    answer = await submit(context, caller)
    order, buffer = answer.order, answer.buffer
    client, out = Client(), Writer(link)
    scope = {"method": "POST", "path": "/v1/x", "query_string": b"", "headers": []}
    call = Call(context, "/v1/x", "198.51.100.7")
    asked = Request(scope, client.receive, client.send, call)
    delivering = asyncio.create_task(send_events(asked, answer))
    try:
        async with asyncio.timeout(20):
            for n in range(1, 200):
                out.put(order, a_frame(n, n, of=order.id))
                await out.drained()
                if n == 1:
                    await client.stuck.wait()
            while not buffer.dropped:
                await asyncio.sleep(0.01)
        out.put(order, a_frame(200, 200, of=order.id, kind=Kind.END))
        await out.drained()
    finally:
        client.reads.set()
    await asyncio.wait_for(delivering, 30)
    last = int(client.body.split(b"id: ")[-1].split(b"\n")[0])
    assert b'"code":"slow_reader"' in client.body
    assert client.body.endswith(b"data: [DONE]\n\n")
    assert client.sent[-1]["more_body"] is False
    # Nothing was cancelled, and from the id that it has the rest can be read.
    assert not await link.call("EXISTS", f"q:{{{order.model}}}:cancelled:{order.id}")
    rest = [n async for f in follow(link, order.id.bytes, last) if f for n in numbers(f.body)]
    assert rest == list(range(last + 1, 201))
    assert context.frame_reader.backlog.total == 0
