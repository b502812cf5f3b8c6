"""The websocket of a widget: events and messages, for the visitor of its token alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.utils.timezone import now
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from inference.api.dialogues import socket
from inference.models import DialogueTurn, TurnStep
from tests.inference.api.conftest import in_database
from tests.inference.api.dialogues.test_widget import OTHER, SHOP, Site, fresh_limits, site
from tests.inference.api.dialogues.web_server import application, running
from tests.inference.engine_server import EngineServer

__all__ = ["fresh_limits", "site"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def address(site: Site) -> AsyncIterator[str]:
    async with running(application) as url:
        yield url.replace("http", "ws")


def opened(address: str, dialogue: str, origin: str = SHOP) -> Any:
    return connect(f"{address}/v1/dialogues/{dialogue}/socket", origin=origin)  # type: ignore[arg-type]


async def say(connection: ClientConnection, **frame: Any) -> None:
    await connection.send(orjson.dumps(frame).decode())


async def until(connection: ClientConnection, name: str, **data: Any) -> list[dict[str, Any]]:
    """Returns the events up to one with this name and data."""
    events = list[dict[str, Any]]()
    async with asyncio.timeout(30):
        while True:
            events.append(orjson.loads(await connection.recv()))
            last = events[-1]
            if last["event"] == name and data.items() <= last["data"].items():
                return events


async def closed_with(connection: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(30):
            while True:
                await connection.recv()
    return connection.close_code or 0, connection.close_reason or ""


async def test_it_talks_and_goes_on_after_a_lost_connection(site: Site, address: str) -> None:
    token, dialogue = await site.visit(), await site.begin()
    async with opened(address, dialogue) as connection:
        await say(connection, type="hello", token=token)
        greeting = (await until(connection, "message"))[-1]
        assert (greeting["id"], greeting["data"]["text"]) == ("1", "Hello!")
        client_id = str(uuid4())
        await say(connection, type="message", id=client_id, text="When are you open?")
        await until(connection, "message", role="assistant", text="9 to 5.")
        await say(connection, type="message", id=client_id, text="When are you open?")
        await say(connection, type="ping")
        await until(connection, "pong")
    async with opened(address, dialogue) as connection:
        await say(connection, type="hello", token=token, after="2")
        events = await until(connection, "message")
        assert [each["id"] for each in events if each["event"] == "message"] == ["3"]
        path = f"/v1/dialogues/{dialogue}/close"
        await site.page.post(path, json={})
        await until(connection, "end")
        assert (await closed_with(connection))[0] == 1000


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ({"type": "hello", "token": "vt-fb-wrong"}, "visitor_token_expired"),
        ({"type": "ping"}, "invalid_api_key"),
        ({"type": "other"}, "invalid_request"),
    ],
)
async def test_a_wrong_first_frame_closes_it(
    site: Site, address: str, first: dict[str, str], reason: str
) -> None:
    await site.visit()
    async with opened(address, await site.begin()) as connection:
        await say(connection, **first)
        assert await closed_with(connection) == (socket.REFUSED, reason)


async def test_another_origin_or_visitor_gets_nothing(site: Site, address: str) -> None:
    token, dialogue = await site.visit(), await site.begin()
    async with opened(address, dialogue, OTHER) as connection:
        await say(connection, type="hello", token=token)
        assert await closed_with(connection) == (socket.REFUSED, "origin_not_allowed")
    other = await site.visit()
    async with opened(address, dialogue) as connection:
        await say(connection, type="hello", token=other)
        assert await closed_with(connection) == (socket.REFUSED, "dialogue_not_found")


@pytest.mark.parametrize("talks", [False, True])
async def test_a_revoked_key_closes_a_silent_one_and_one_that_talks(
    site: Site, address: str, monkeypatch: pytest.MonkeyPatch, talks: bool
) -> None:
    monkeypatch.setattr(socket, "EVERY_S", 0.4)
    token, dialogue = await site.visit(), await site.begin()
    async with opened(address, dialogue) as connection:
        await say(connection, type="hello", token=token)
        await until(connection, "message")
        await in_database(site.key.revoke)(by="test")
        talking = asyncio.create_task(_talk(connection if talks else None))
        assert await closed_with(connection) == (socket.REFUSED, "invalid_widget_key")
        talking.cancel()


async def _talk(connection: ClientConnection | None) -> None:
    while connection:
        await say(connection, type="ping")
        await asyncio.sleep(0.05)


async def test_what_is_wrong_with_a_message_is_an_event(site: Site, address: str) -> None:
    token, dialogue = await site.visit(), await site.begin()
    async with opened(address, dialogue) as connection:
        await say(connection, type="hello", token=token)
        client_id = str(uuid4())
        await say(connection, type="message", id=client_id, text="")
        problem = (await until(connection, "error"))[-1]["data"]
        assert (problem["code"], problem["client_id"]) == ("invalid_request", client_id)


async def test_a_message_that_is_not_answered_is_an_event(
    site: Site, address: str, engine: EngineServer
) -> None:
    token, dialogue = await site.visit(), await site.begin()
    engine.goes_on.clear()
    async with opened(address, dialogue) as connection:
        await say(connection, type="hello", token=token)
        client_id = str(uuid4())
        for _ in range(2):
            await say(connection, type="message", id=client_id, text="When are you open?")
        while not await in_database(DialogueTurn.objects.exists)():
            await asyncio.sleep(0.02)
        ended = {"step": TurnStep.FAILED, "error_code": "insufficient_quota", "ended_at": now()}
        await in_database(DialogueTurn.objects.update)(**ended)
        problem = (await until(connection, "error"))[-1]["data"]
        assert (problem["code"], problem["client_id"]) == ("insufficient_quota", client_id)
        engine.goes_on.set()
        await say(connection, type="message", id=client_id, text="When are you open?")
        await until(connection, "message", role="assistant", text="9 to 5.")


async def test_a_frame_of_endless_depth_is_wrong_as_any_other(site: Site, address: str) -> None:
    await site.visit()
    async with opened(address, await site.begin()) as connection:
        await connection.send('{"type": "ping", "x": ' + "[" * 30_000)
        assert await closed_with(connection) == (socket.REFUSED, "invalid_request")
