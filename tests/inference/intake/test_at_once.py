"""How many readers of streams, and chat sockets, may be open at once."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from channels_redis.pubsub import RedisPubSubLoopLayer
from django.utils import timezone
from pytest_django.fixtures import Settings
from redis.exceptions import RedisError

from inference import engines
from inference.api import stream_resumption
from inference.chat import conversations
from inference.chat.socket import chat_session, consumer
from inference.chat.socket.chat_session import ChatSession
from inference.chat.socket.consumer import ChatConsumer
from inference.intake.context import Context
from inference.intake.limits.concurrency import EVERYBODY, ConcurrencyLimit
from inference.models import Author, Completion, Message
from infrastructure.redis.link import RedisLink
from tenants.models import ApiKey, Member, Refusal, Tenant, User
from tenants.roles import Role
from tests.inference.api import stream_readers
from tests.inference.api.stream_readers import events, issued, streamed
from tests.inference.orders import an_order
from tests.inference.web import current, served, serving

in_database = database_sync_to_async


@pytest.mark.unit
def test_each_name_has_its_bound_and_all_have_one() -> None:
    open_ = ConcurrencyLimit(4)
    assert [open_.enter(("a", 2)) for _ in range(3)] == [None, None, "a"]
    assert open_.enter(("b", 2), ("team", 1)) is None
    assert open_.enter(("c", 2), ("team", 1)) == "team"
    assert open_.enter(("d", 2)) is None
    assert open_.enter(("e", 2)) == EVERYBODY
    open_.leave("a")
    assert open_.enter(("e", 2)) is None
    for names in (["a"], ["b", "team"], ["d"], ["e"]):
        open_.leave(*names)
    assert not open_._open


@pytest.fixture
async def context(settings: Settings, dsn: str, pool: str) -> AsyncIterator[Context]:
    settings.ENGINES = {pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    engines.forget()
    async with serving() as opened:
        yield opened
    engines.forget()


@pytest.fixture
def globex(transactional_db: None) -> Tenant:
    return Tenant.open("globex", by="test")


# Readers of streams -----------------------------------------------------------------------------
async def open_reader(text: str, completion_id: UUID) -> "asyncio.Task[None]":
    """One that stays, since its stream does not end."""
    began = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        began.set()

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/v1/completions/{completion_id}/events",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {text}".encode())],
        "client": ("198.51.100.7", 5000),
    }
    task = asyncio.create_task(served(scope, receive, send))
    await asyncio.wait_for(began.wait(), 5)
    return task


async def test_a_keys_readers_are_bounded_and_the_refusal_is_explained(
    context: Context, acme: Tenant, link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_resumption, "READERS_PER_KEY", 2)
    key, text = await issued(acme)
    other, its_text = await issued(acme)
    mine = await streamed(link, acme, api_key=key)
    theirs = await streamed(link, acme, api_key=other)
    running = await open_stream(acme, key)
    readers = [await open_reader(text, running) for _ in range(2)]
    answer = await events(text, mine)
    assert answer.status_code == 429
    assert answer.headers["x-ratelimit-scope"] == "key_readers"
    assert answer.headers["retry-after"] == "1"
    assert "reads 2 streams at once" in answer.json()["error"]["message"]
    assert (await events(its_text, theirs)).status_code == 200
    await context.refusals.flush()
    row = await in_database(Refusal.objects.get)()
    assert answer.json()["error"]["refusal_id"] == row.public_id
    assert (row.tier, row.route, row.limit) == (
        "key_readers",
        "/v1/completions/{id}/events",
        2,
    )
    readers[0].cancel()
    await asyncio.gather(readers[0], return_exceptions=True)
    assert (await events(text, mine)).status_code == 200
    monkeypatch.setattr(context.limits.readers, "_most", 1)
    full = await events(its_text, theirs)
    assert (full.status_code, full.headers["retry-after"]) == (503, "2")
    readers[1].cancel()
    await asyncio.gather(readers[1], return_exceptions=True)
    assert len(context.limits.readers) == 0


async def test_a_tenants_readers_are_bounded_whatever_key_they_use(
    context: Context,
    acme: Tenant,
    globex: Tenant,
    link: RedisLink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_resumption, "READERS_PER_TENANT", 2)
    readers = []
    for _ in range(2):
        key, text = await issued(acme)
        readers.append(await open_reader(text, await open_stream(acme, key)))
    third, its_text = await issued(acme)
    kept = await streamed(link, acme, api_key=third)
    answer = await events(its_text, kept)
    assert (answer.status_code, answer.headers["x-ratelimit-scope"]) == (429, "readers")
    assert "this tenant reads 2 streams at once" in answer.json()["error"]["message"]
    await context.refusals.flush()
    row = await in_database(Refusal.objects.get)()
    assert (row.public_id, row.tier) == (answer.headers["x-refusal-id"], "readers")
    stranger, a_strangers_text = await issued(globex)
    theirs = await streamed(link, globex, api_key=stranger)
    assert (await events(a_strangers_text, theirs)).status_code == 200
    readers[0].cancel()
    await asyncio.gather(readers[0], return_exceptions=True)
    assert (await events(its_text, kept)).status_code == 200
    readers[1].cancel()
    await asyncio.gather(readers[1], return_exceptions=True)
    assert len(context.limits.readers) == 0


async def open_stream(acme: Tenant, key: ApiKey) -> UUID:
    order = an_order()
    create = in_database(Completion.objects.create)
    await create(
        id=order.id,
        tenant=acme,
        model="mock",
        route="/v1/chat/completions",
        state="open",
        stream=True,
        created_at=timezone.now(),
        api_key=key,
    )
    return order.id


# Chat sockets -----------------------------------------------------------------------------------
alice = stream_readers.alice


class Socket:
    def __init__(self) -> None:
        state = {"context": current()}
        scope = {"type": "websocket", "path": "/", "headers": [], "state": state}
        self._app: Any = cast(Any, ApplicationCommunicator)(ChatConsumer.as_asgi(), scope)

    async def connect(self) -> None:
        await self._app.send_input({"type": "websocket.connect"})
        assert (await self.heard())["type"] == "websocket.accept"

    async def follow(self, message: Message) -> dict[str, Any] | None:
        """What the page is told; None where the answer is followed from now on."""
        sent = orjson.dumps({"type": "follow", "message": str(message.pk), "after": 0}).decode()
        followed = len(current().limits.followers)
        await self._app.send_input({"type": "websocket.receive", "text": sent})
        async with asyncio.timeout(5):
            while self._app.output_queue.empty():
                if len(current().limits.followers) > followed:
                    return None
                await asyncio.sleep(0.01)
        return dict(orjson.loads((await self.heard())["text"]))

    async def heard(self) -> dict[str, Any]:
        return dict(await self._app.receive_output(5))

    async def is_quiet(self) -> bool:
        return bool(await self._app.receive_nothing(0.2))

    async def disconnect(self) -> None:
        await self._app.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._app.wait(5)


async def connected(member: Member, monkeypatch: pytest.MonkeyPatch) -> Socket:
    async def of(scope: Any) -> ChatSession:
        found = ChatSession(current(), member.user, member, "session", "198.51.100.7", "en")
        found._good_until = math.inf  # there is no session
        return found

    monkeypatch.setattr(chat_session.ChatSession, "of", of)
    socket = Socket()
    await socket.connect()
    return socket


async def test_a_persons_sockets_are_bounded(
    context: Context, alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "SOCKETS_PER_PERSON", 2)
    monkeypatch.setattr(context.revocation, "attend", lambda *_: None)  # there is no session
    tabs = [await connected(alice, monkeypatch) for _ in range(2)]
    third = await connected(alice, monkeypatch)
    closed = await third.heard()
    assert (closed["type"], closed["code"]) == ("websocket.close", 4429)
    assert "2 connections of this person" in closed["reason"]
    await third.disconnect()
    await tabs[0].disconnect()
    again = await connected(alice, monkeypatch)
    assert await again.is_quiet()
    monkeypatch.setattr(context.limits.sockets, "_most", 2)
    crowded = await connected(alice, monkeypatch)
    assert (await crowded.heard())["code"] in (1013, 4429)
    for socket in (crowded, again, tabs[1]):
        await socket.disconnect()
    assert len(context.limits.sockets) == 0


async def test_what_a_person_follows_is_bounded_over_all_their_sockets(
    context: Context, acme: Tenant, alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "FOLLOWED_PER_PERSON", 2)
    monkeypatch.setattr(context.revocation, "attend", lambda *_: None)
    user = await in_database(User.objects.create_user)("bob@acme.example")
    bob = await in_database(acme.add_member)(user, Role.DEVELOPER)
    tabs = [await connected(alice, monkeypatch) for _ in range(2)]
    for tab in tabs:
        assert await tab.follow(await open_answer(alice)) is None
    third = await open_answer(alice)
    refused = await tabs[0].follow(third)
    assert refused
    assert (refused["type"], refused["code"]) == ("error", "too_much")
    assert refused["message"] == str(third.pk)
    his = await connected(bob, monkeypatch)
    assert await his.follow(await open_answer(bob)) is None
    await tabs[1].disconnect()
    await followed(2)
    assert await tabs[0].follow(third) is None
    for socket in (tabs[0], his):
        await socket.disconnect()
    await followed(0)


async def followed(answers: int) -> None:
    async with asyncio.timeout(5):
        while len(current().limits.followers) != answers:
            await asyncio.sleep(0.01)


async def open_answer(member: Member) -> Message:
    """One that is still being written."""
    order, now = an_order(), timezone.now()
    same = {"tenant_id": member.tenant_id, "created_at": now}
    await in_database(Completion.objects.create)(
        id=order.id, model="mock", route="/chat", state="open", stream=True, member=member, **same
    )
    conversation = await in_database(conversations.start)(member, "mock", "Hello")
    answer: Message = await in_database(Message.objects.create)(
        conversation=conversation,
        author=Author.ASSISTANT,
        completion_id=order.id,
        data_key_id=uuid4(),
        **same,
    )
    return answer


async def test_a_socket_that_does_not_come_about_counts_no_longer(
    context: Context, alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is away a page tries again and again, and would lock its person out."""

    async def away(*_: Any) -> None:
        raise RedisError("away")

    monkeypatch.setattr(context.revocation, "attend", lambda *_: None)
    monkeypatch.setattr(RedisPubSubLoopLayer, "group_add", away)
    with pytest.raises(RedisError):
        await connected(alice, monkeypatch)
    assert len(context.limits.sockets) == 0
