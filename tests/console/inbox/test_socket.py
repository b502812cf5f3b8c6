"""The inbox's socket tells what changed, and is closed with the member's access."""

import json
import time
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.conf import settings as configured
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection, transaction
from psycopg.conninfo import make_conninfo
from pytest_django.fixtures import Settings

from console.inbox.socket import InboxConsumer
from inference.dialogues import handing_over
from inference.intake.context import Context
from inference.models import Dialogue, DialogueHandOver
from tenants.models import Member, Tenant
from tenants.roles import Role
from tests.console.conftest import BACKEND
from tests.inference.dialogues.rows import a_dialogue

pytestmark = pytest.mark.django_db(transaction=True)
WITHIN_S = 10
_sessions = import_module(configured.SESSION_ENGINE)


def in_database(do: Callable[..., Any]) -> Any:
    return database_sync_to_async(do, thread_sensitive=False)


@pytest.fixture
async def context(settings: Settings) -> AsyncIterator[Context]:
    name = connection.settings_dict["NAME"]
    settings.DATABASE_URL = make_conninfo(settings.DATABASE_URL, dbname=name, **settings.SEES_ALL)
    opened = await Context.open()
    yield opened
    await opened.close()


def signed_in(member: Member) -> Any:
    session = _sessions.SessionStore()
    session[SESSION_KEY] = str(member.user_id)
    session[BACKEND_SESSION_KEY] = BACKEND
    session[HASH_SESSION_KEY] = member.user.get_session_auth_hash()
    session.save()
    return session


_communicator: Any = ApplicationCommunicator  # asgiref has no types for it


class Socket:
    """A page's end of the socket."""

    def __init__(self, context: Context, member: Member, session: Any, tenant: str) -> None:
        self.session = session
        scope = {
            "type": "websocket",
            "path": "/ws/inbox/",
            "query_string": f"tenant={tenant}".encode(),
            "headers": [],
            "user": member.user,
            "session": session,
            "state": {"context": context},
        }
        self._application: Any = _communicator(InboxConsumer.as_asgi(), scope)

    async def connect(self) -> bool:
        await self._application.send_input({"type": "websocket.connect"})
        answer = await self._application.receive_output(WITHIN_S)
        return bool(answer["type"] == "websocket.accept")

    async def say(self, **message: str) -> None:
        text = json.dumps(message)
        await self._application.send_input({"type": "websocket.receive", "text": text})

    async def hear(self) -> Any:
        event = await self._application.receive_output(WITHIN_S)
        return json.loads(event["text"]) if event["type"] == "websocket.send" else event

    async def leave(self) -> None:
        await self._application.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._application.wait(WITHIN_S)


async def opened(context: Context, member: Member, tenant: str = "acme") -> Socket:
    return Socket(context, member, await in_database(signed_in)(member), tenant)


def hand_over(dialogue: Dialogue) -> None:
    with transaction.atomic():
        handing_over.hand_over(dialogue, "asked", by="test")


async def test_it_tells_of_the_inbox_and_of_the_watched_dialogue(
    context: Context, acme: Tenant, alice: Member
) -> None:
    socket = await opened(context, alice)
    assert await socket.connect()
    dialogue = await in_database(a_dialogue)(acme, "Hello")
    await socket.say(type="watch", dialogue=str(dialogue.pk))
    news = {"type": "dialogue", "dialogue": str(dialogue.pk)}
    assert await socket.hear() == news
    await in_database(hand_over)(dialogue)
    both = [await socket.hear() for _ in range(2)]
    assert {"type": "inbox"} in both
    assert news in both
    await socket.say(type="ping")
    assert await socket.hear() == {"type": "pong"}
    await socket.leave()


async def test_others_hear_nothing(
    context: Context, acme: Tenant, globex: Tenant, alice: Member, charlie: Member
) -> None:
    socket = await opened(context, charlie, "globex")
    assert await socket.connect()
    dialogue = await in_database(a_dialogue)(acme, "Hello")
    await socket.say(type="watch", dialogue=str(dialogue.pk))
    await in_database(hand_over)(dialogue)
    await socket.say(type="ping")
    assert await socket.hear() == {"type": "pong"}
    await socket.leave()


async def test_it_opens_for_agents_alone(
    context: Context, acme: Tenant, bob: Member, charlie: Member
) -> None:
    for member in (bob, charlie):
        socket = await opened(context, member)
        assert not await socket.connect()


async def test_an_open_inbox_keeps_its_members_dialogues(
    context: Context, acme: Tenant, alice: Member
) -> None:
    dialogue = await in_database(a_dialogue)(acme, "Hello")
    await in_database(handing_over.take_over)(dialogue, alice)
    before = (await in_database(DialogueHandOver.objects.get)()).leased_until
    socket = await opened(context, alice)
    await socket.connect()
    await socket.say(type="ping")
    await socket.hear()
    ends = time.monotonic() + WITHIN_S
    while (await in_database(DialogueHandOver.objects.get)()).leased_until == before:
        assert time.monotonic() < ends
    await socket.leave()


@pytest.mark.parametrize("how", ["role", "membership", "session"])
async def test_it_is_closed_with_the_access(
    context: Context, acme: Tenant, alice: Member, erin: Member, how: str
) -> None:
    await in_database(erin.change_role)(Role.OWNER, by="test")  # one owner stays
    socket = await opened(context, alice)
    assert await socket.connect()
    ways: dict[str, Any] = {
        "role": lambda: alice.change_role(Role.DEVELOPER, by="test"),
        "membership": lambda: alice.remove(by="test"),
        "session": socket.session.delete,
    }
    await in_database(ways[how])()
    begun = time.monotonic()
    closed = await socket.hear()
    assert closed["type"] == "websocket.close"
    assert closed["code"] == {"role": 4403, "membership": 4403, "session": 4401}[how]
    assert time.monotonic() - begun < 5  # a second, on a machine with nothing else to do
    await socket.leave()
