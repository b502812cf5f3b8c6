"""What a client learns while its request waits: where it stands, and about how long."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference import engines
from inference.api.openai import delivery
from inference.intake import answer_stream, enqueue
from inference.queue import expected_wait, queues
from inference.queue.fair_queue import FairQueue
from inference.queue_control.tenant_queue import own_lines
from inference.stream.frames import Kind
from inference.stream.writer import Writer
from infrastructure.redis.link import RedisLink
from tenants.models import ApiKey, Tenant
from tests.inference.orders import a_frame, an_item, an_order
from tests.inference.running import until
from tests.inference.web import current, served, serving

in_database = database_sync_to_async
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
PLACES = {"x-forebay-queue-position", "x-forebay-expected-wait-ms"}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    expected_wait.forget()
    yield
    expected_wait.forget()


@pytest.fixture
async def client(
    dsn: str, pool: str, acme: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    settings.ENGINES = {pool: ENGINE}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    monkeypatch.setattr(enqueue, "wake_up", lambda _: None)
    monkeypatch.setattr(queues, "EVERY_S", 0.02)
    monkeypatch.setattr(answer_stream, "LOOK_AROUND_S", 0.05)
    engines.forget()
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    headers = {"Authorization": f"Bearer {text}"}
    transport = httpx.ASGITransport(served, client=("198.51.100.7", 5000))
    async with (
        serving(),
        httpx.AsyncClient(transport=transport, base_url="http://f", headers=headers) as client,
    ):
        yield client
    engines.forget()


async def others(queue: FairQueue, n: int, tenant: Tenant) -> None:
    """So many of the tenant wait; two have begun, the second after a while."""
    for _ in range(n + 2):
        await queue.enqueue(an_item(str(tenant.id)), b"x")
    await queue.pop(1, "runner-1")
    await asyncio.sleep(0.05)
    await queue.pop(1, "runner-1")


async def answered(queue: FairQueue, link: RedisLink, tenant: Tenant) -> None:
    """A runner takes everything, and answers what came over HTTP."""
    for item, ciphertext in await queue.pop(50, "runner-1"):
        if ciphertext != b"x":
            order = an_order(
                id=UUID(item.id), tenant_id=tenant.id, reply_to=current().frame_reader.web
            )
            out = Writer(link)
            out.put(order, a_frame(1, 2, of=order.id))
            out.put(order, a_frame(3, 3, of=order.id, kind=Kind.END))
            await out.drained()


def ask(client: httpx.AsyncClient, pool: str, **more: Any) -> asyncio.Task[httpx.Response]:
    body = {"model": pool, "messages": [{"role": "user", "content": "hi"}], **more}
    return asyncio.create_task(client.post("/v1/chat/completions", json=body))


async def joined(pool: str, n: int) -> None:
    async def there() -> bool:
        return expected_wait.waiting(pool, "realtime") == n

    await until(there)


async def test_one_that_waits_is_told_where_it_stands(
    client: httpx.AsyncClient, queue: FairQueue, link: RedisLink, acme: Tenant
) -> None:
    await others(queue, 4, acme)
    asked = ask(client, queue.pool, stream=True)
    await joined(queue.pool, 5)
    await answered(queue, link, acme)
    answer = await asked
    assert answer.headers["x-forebay-queue-position"] == "5"
    wait_ms = int(answer.headers["x-forebay-expected-wait-ms"])
    assert wait_ms >= 5 * 20, "five starts of 50 ms and more, less what passed"


async def test_a_tenant_that_has_its_turn_soon_is_told_so_behind_a_flood_of_another(
    client: httpx.AsyncClient, queue: FairQueue, link: RedisLink, acme: Tenant
) -> None:
    await others(queue, 20, Tenant(name="globex"))
    answers = [ask(client, queue.pool, stream=True)]
    await joined(queue.pool, 21)
    answers.append(ask(client, queue.pool, stream=True))
    await joined(queue.pool, 22)
    (line,) = await sync_to_async(own_lines)(str(acme.id), [queue.pool])
    await answered(queue, link, acme)
    positions = [(await answer).headers["x-forebay-queue-position"] for answer in answers]
    assert positions == ["2", "4"], "the two tenants take turns"
    assert [waiting.position for waiting in line.requests] == [2, 4], (
        "as the page of the queue has it"
    )


async def test_one_that_had_not_to_wait_is_told_nothing(
    client: httpx.AsyncClient, queue: FairQueue, link: RedisLink, acme: Tenant
) -> None:
    await queue.pop(1, "runner-1")  # parked
    asked = ask(client, queue.pool, stream=True)
    await asyncio.sleep(0)

    async def there() -> Any:
        await answered(queue, link, acme)
        return asked.done()

    await until(there)
    assert not PLACES & set((await asked).headers)


async def test_a_stream_that_has_begun_says_it_in_comments_until_the_first_event(
    client: httpx.AsyncClient,
    queue: FairQueue,
    link: RedisLink,
    acme: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "FIRST_EVENT_S", 0.05)
    await others(queue, 2, acme)
    asked = ask(client, queue.pool, stream=True)
    await joined(queue.pool, 3)
    await asyncio.sleep(0.3)
    await queue.pop(2, "runner-1")
    await asyncio.sleep(0.3)
    await answered(queue, link, acme)
    comments, *events = (await asked).text.partition("id: ")
    told = [line for line in comments.split("\n") if line]
    assert list(dict.fromkeys(told)) == [": queue position 3", ": queue position 1"]
    assert "queue position" not in "".join(events)


async def test_nobody_asks_while_nothing_waits(
    client: httpx.AsyncClient, queue: FairQueue, link: RedisLink, acme: Tenant
) -> None:
    await others(queue, 2, acme)
    asked = ask(client, queue.pool, stream=True)
    await joined(queue.pool, 3)
    assert set(current().queues._followed) == {queue.pool}
    await answered(queue, link, acme)
    await asked

    async def nobody() -> bool:
        return not current().queues._followed

    await until(nobody)
    assert expected_wait.expected(queue.pool, "realtime") == 0
