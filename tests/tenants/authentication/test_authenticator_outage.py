"""Without the database nobody new comes in, everybody learns it soon, and it heals by itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tenants import secret_keys
from tenants.authentication import authenticator as module
from tenants.authentication.authenticator import (
    CACHE_S,
    AuthenticationUnavailable,
    Authenticator,
    UnknownCaller,
)
from tenants.authentication.invalidation import VALID_S
from tenants.models import ApiKey, Tenant
from tests.audit.weak_line import WeakLine, through, weak_line_to_database


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.7)
    settings.FAILOVER_WAIT_S = 0


@pytest.fixture
async def authenticator(dsn: str, line: WeakLine) -> AsyncIterator[Authenticator]:
    authenticator = Authenticator(through(line, dsn))
    yield authenticator
    await authenticator.close()


@pytest.fixture
def key(acme: Tenant) -> str:
    return ApiKey.issue(acme, "ci", by="test")[1]


async def closed_within(authenticator: Authenticator, key: str, seconds: float) -> bool:
    try:
        await asyncio.wait_for(authenticator.by_key(key), seconds)
    except AuthenticationUnavailable:
        return True
    return False


async def opens_after(authenticator: Authenticator, key: str, most: float) -> float:
    began = time.monotonic()
    while time.monotonic() - began < most:
        try:
            await authenticator.by_key(key)
            return time.monotonic() - began
        except AuthenticationUnavailable:
            await asyncio.sleep(0.02)
    return most


async def test_nobody_is_known_without_the_database_until_it_is_back(
    authenticator: Authenticator, line: WeakLine, key: str
) -> None:
    await authenticator.by_key(key)
    await line.down()
    await authenticator.by_key(key)  # remembered
    await asyncio.sleep(CACHE_S)
    assert await closed_within(authenticator, key, 1.5)
    with pytest.raises(UnknownCaller):  # what is no key needs no database
        await authenticator.by_key("sk-fb-nonsense")
    await line.up()
    assert await opens_after(authenticator, key, 5) < 4


async def test_a_cut_connection_is_not_noticed(
    authenticator: Authenticator, line: WeakLine, key: str
) -> None:
    await authenticator.by_key(key)
    await line.cut()
    await asyncio.sleep(CACHE_S)
    await authenticator.by_key(key)


async def test_a_door_that_opens_before_the_database_does(dsn: str, key: str) -> None:
    async with weak_line_to_database(dsn) as line:
        await line.down()
        authenticator = Authenticator(through(line, dsn))
        assert await closed_within(authenticator, key, 1.5)
        await line.up()
        assert await opens_after(authenticator, key, 5) < 4
        await authenticator.close()


async def test_it_opens_with_the_first_look_after_the_outage(
    authenticator: Authenticator, line: WeakLine, key: str
) -> None:
    await authenticator.by_key(key)
    await line.down()
    ends = time.monotonic() + 1.5
    while time.monotonic() < ends:
        with pytest.raises(AuthenticationUnavailable):
            await authenticator.by_key(secret_keys.mint().text)
        await asyncio.sleep(0.01)
    await line.up()
    assert (await authenticator.by_key(key)).tenant == "acme"


async def test_many_who_ask_during_an_outage_all_learn_it(
    authenticator: Authenticator, line: WeakLine
) -> None:
    await line.down()
    began = time.monotonic()
    asked = [authenticator.by_key(secret_keys.mint().text) for _ in range(200)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(problem) for problem in found} == {AuthenticationUnavailable}
    assert time.monotonic() - began < 2


async def test_with_a_frozen_database_nobody_is_known(
    authenticator: Authenticator, line: WeakLine, key: str
) -> None:
    await authenticator.by_key(key)
    line.freeze()
    await asyncio.sleep(VALID_S)
    try:
        assert await closed_within(authenticator, key, 1.5)
    finally:
        line.thaw()
    assert await opens_after(authenticator, key, 5) < 4


# A connection closed under the feet of the coroutine that waits on it gives its number to the next
# socket, which is then taken out of the loop in its place.
async def test_giving_up_on_the_database_leaves_other_sockets_alone(
    authenticator: Authenticator, line: WeakLine, key: str
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    await authenticator.by_key(key)
    line.freeze()
    await asyncio.sleep(VALID_S)
    assert await closed_within(authenticator, key, 1.5)
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
