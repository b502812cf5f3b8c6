"""AUTH and SELECT come first, for everybody, or nothing is sent at all."""

import asyncio
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from django.conf import settings

from infrastructure.redis.link import RedisGone
from tests.tenants.conftest import NewLink
from tests.tenants.played_redis import Command, PlayedRedis, fine


def database(number: int) -> str:
    return urlunsplit(urlsplit(settings.REDIS_URL)._replace(path=f"/{number}"))


async def test_name_password_and_database_are_told_first(new_link: NewLink) -> None:
    async with PlayedRedis(fine) as played:
        link = new_link(f"redis://alice:p%40ss%2Fword@127.0.0.1:{played.port}/7")
        await link.call("PING")
        assert played.heard == [[b"AUTH", b"alice", b"p@ss/word"], [b"SELECT", b"7"], [b"PING"]]


async def test_a_password_alone_is_the_default_users(new_link: NewLink) -> None:
    async with PlayedRedis(fine) as played:
        link = new_link(f"redis://:secret@127.0.0.1:{played.port}")
        await link.call("PING")
        assert played.heard[0] == [b"AUTH", b"default", b"secret"]


async def test_the_greeting_is_said_again_after_a_loss(new_link: NewLink) -> None:
    async with PlayedRedis(fine) as played:
        link = new_link(f"redis://:secret@127.0.0.1:{played.port}/2")
        await link.call("PING")
        link._drop(RedisGone("as if the connection were lost"))
        await link.call("PING")
        assert [command[0] for command in played.heard] == [b"AUTH", b"SELECT", b"PING"] * 2


async def test_nobody_overtakes_the_greeting(new_link: NewLink) -> None:
    async def slowly(command: Command) -> bytes:
        await asyncio.sleep(0.02)
        return b"+OK\r\n"

    async with PlayedRedis(slowly) as played:
        link = new_link(f"redis://:secret@127.0.0.1:{played.port}/5")
        asked = []
        for n in range(30):
            asked.append(asyncio.ensure_future(link.call("SET", n, n)))
            await asyncio.sleep(0.001)
        await asyncio.gather(*asked)
        assert [command[0] for command in played.heard[:2]] == [b"AUTH", b"SELECT"]
        assert len(played.heard) == 32


async def test_nothing_is_written_into_the_wrong_database(new_link: NewLink) -> None:
    right, wrong = new_link(database(6)), new_link(database(0))
    keys = [f"test:{uuid4()}" for _ in range(40)]
    asked = []
    for key in keys:
        asked.append(asyncio.ensure_future(right.call("SET", key, 1, "PX", 20_000)))
        await asyncio.sleep(0)
    await asyncio.gather(*asked)
    try:
        assert await wrong.call("EXISTS", *keys) == 0
        assert await right.call("EXISTS", *keys) == len(keys)
    finally:
        right.close()


async def test_a_refused_greeting_leaves_no_usable_connection(new_link: NewLink) -> None:
    link = new_link(database(99_999))
    for _ in range(3):
        with pytest.raises(RedisGone):
            await link.call("SET", f"test:{uuid4()}", 1, "PX", 1000)


async def test_a_wrong_password_is_said_every_time(new_link: NewLink) -> None:
    async def locked(command: Command) -> bytes:
        return b"-WRONGPASS invalid\r\n" if command[0] == b"AUTH" else b"+OK\r\n"

    async with PlayedRedis(locked) as played:
        link = new_link(f"redis://:wrong@127.0.0.1:{played.port}")
        for _ in range(2):
            with pytest.raises(RedisGone, match="WRONGPASS"):
                await link.call("PING")
