"""A sentinel of a zone that is cut off takes connections, or drops them, and never answers."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis

from infrastructure.redis.link import CONNECT_TIMEOUT_S
from infrastructure.redis.servers import SENTINEL_PATIENCE_S, Servers, servers, watch
from tests.tenants.played_redis import Command, PlayedRedis

pytestmark = pytest.mark.unit
STATE = {"name": "drill", "ip": "10.0.0.3", "port": "6379", "flags": "master"}
STATE["num-other-sentinels"] = "2"


async def silent(command: Command) -> None:
    return None


async def sentinel(command: Command) -> bytes:
    if command[0] == b"HELLO":
        return b"%1\r\n$5\r\nproto\r\n:3\r\n"
    if b"MASTERS" not in [word.upper() for word in command]:
        return b"+OK\r\n"
    words = [word for pair in STATE.items() for word in pair]
    lines = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    return f"*1\r\n%{len(STATE)}\r\n{lines}".encode()


@pytest.fixture
async def two_silent() -> AsyncIterator[list[PlayedRedis]]:
    async with PlayedRedis(silent) as one, PlayedRedis(silent) as other:
        yield [one, other]


def behind(played: list[PlayedRedis]) -> Servers:
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in played)
    return servers(f"redis+sentinel://:word@{hosts}/drill/0")


async def test_the_first_that_answers_names_the_primary(two_silent: list[PlayedRedis]) -> None:
    """A link to Redis gives up after two seconds, that of the limits after half of one."""
    async with PlayedRedis(sentinel) as living:
        began = time.monotonic()
        address = await behind([*two_silent, living]).primary()
        assert time.monotonic() - began < SENTINEL_PATIENCE_S
        assert address == ("10.0.0.3", 6379)


async def test_where_none_answers_it_ends_soon(two_silent: list[PlayedRedis]) -> None:
    began = time.monotonic()
    with pytest.raises(redis.RedisError):
        await behind(two_silent).primary()
    assert time.monotonic() - began < CONNECT_TIMEOUT_S


async def test_celerys_client_asks_each_once(two_silent: list[PlayedRedis]) -> None:
    """It publishes from loops of web processes, which stand still meanwhile."""
    async with PlayedRedis(sentinel) as living:
        client = watch(behind([*two_silent, living]))
        began = time.monotonic()
        address = await asyncio.to_thread(client.discover_master, "drill")
        assert address == ("10.0.0.3", 6379)
        assert time.monotonic() - began < 3 * SENTINEL_PATIENCE_S
        for each in client.sentinels:
            each.close()
