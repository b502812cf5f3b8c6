"""Without the database nobody new comes in, everybody learns it soon, and it heals by itself."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tenants import secret_keys
from tenants.authentication import authenticator as module
from tenants.authentication.authenticator import CACHE_S, Door, DoorClosed, UnknownCaller
from tenants.authentication.invalidation import VALID_S
from tenants.models import ApiKey, Tenant
from tests.audit.weak_line import WeakLine, through, weak_line_to_database


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.7)


@pytest.fixture
async def door(dsn: str, line: WeakLine) -> AsyncIterator[Door]:
    door = Door(through(line, dsn))
    yield door
    await door.close()


@pytest.fixture
def key(acme: Tenant) -> str:
    return ApiKey.issue(acme, "ci", by="test")[1]


async def closed_within(door: Door, key: str, seconds: float) -> bool:
    try:
        await asyncio.wait_for(door.by_key(key), seconds)
    except DoorClosed:
        return True
    return False


async def opens_after(door: Door, key: str, most: float) -> float:
    began = time.monotonic()
    while time.monotonic() - began < most:
        try:
            await door.by_key(key)
            return time.monotonic() - began
        except DoorClosed:
            await asyncio.sleep(0.02)
    return most


async def test_the_door_closes_with_the_database_and_opens_again(
    door: Door, line: WeakLine, key: str
) -> None:
    await door.by_key(key)
    await line.down()
    await door.by_key(key)  # remembered
    await asyncio.sleep(CACHE_S)
    assert await closed_within(door, key, 1.5)
    with pytest.raises(UnknownCaller):  # what is no key needs no database
        await door.by_key("sk-fb-nonsense")
    await line.up()
    assert await opens_after(door, key, 5) < 4


async def test_a_cut_connection_is_not_noticed(door: Door, line: WeakLine, key: str) -> None:
    await door.by_key(key)
    await line.cut()
    await asyncio.sleep(CACHE_S)
    await door.by_key(key)


async def test_a_door_that_opens_before_the_database_does(dsn: str, key: str) -> None:
    async with weak_line_to_database(dsn) as line:
        await line.down()
        door = Door(through(line, dsn))
        assert await closed_within(door, key, 1.5)
        await line.up()
        assert await opens_after(door, key, 5) < 4
        await door.close()


async def test_it_opens_with_the_first_look_after_the_outage(
    door: Door, line: WeakLine, key: str
) -> None:
    await door.by_key(key)
    await line.down()
    ends = time.monotonic() + 1.5
    while time.monotonic() < ends:
        with pytest.raises(DoorClosed):
            await door.by_key(secret_keys.mint().text)
        await asyncio.sleep(0.01)
    await line.up()
    assert (await door.by_key(key)).tenant == "acme"


async def test_many_who_ask_during_an_outage_all_learn_it(door: Door, line: WeakLine) -> None:
    await line.down()
    began = time.monotonic()
    asked = [door.by_key(secret_keys.mint().text) for _ in range(200)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(problem) for problem in found} == {DoorClosed}
    assert time.monotonic() - began < 2


async def test_a_frozen_database_closes_the_door(door: Door, line: WeakLine, key: str) -> None:
    await door.by_key(key)
    line.freeze()
    await asyncio.sleep(VALID_S)
    try:
        assert await closed_within(door, key, 1.5)
    finally:
        line.thaw()
    assert await opens_after(door, key, 5) < 4


# A connection closed under the feet of the coroutine that waits on it gives its number to the next
# socket, which is then taken out of the loop in its place.
async def test_giving_up_on_the_database_leaves_other_sockets_alone(
    door: Door, line: WeakLine, key: str
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    await door.by_key(key)
    line.freeze()
    await asyncio.sleep(VALID_S)
    assert await closed_within(door, key, 1.5)
    host, port = server.sockets[0].getsockname()
    pairs = [await asyncio.open_connection(host, port) for _ in range(4)]
    await asyncio.sleep(0.3)
    for reader, writer in pairs:
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.read(5), 1) == b"hello"
        writer.close()
        await writer.wait_closed()
    server.close()
    line.thaw()
