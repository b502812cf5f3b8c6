"""A Redis that goes: every caller learns it in time, and the next one reconnects."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from django.conf import settings

from infrastructure.redis import link as redis_link
from infrastructure.redis.link import RedisGone, RedisLink
from tests.audit.weak_line import WeakLine, over, weak_line_to_redis
from tests.tenants.conftest import NewLink
from tests.tenants.played_redis import PlayedRedis, fine, silent


@pytest.fixture
async def line() -> AsyncIterator[WeakLine]:
    async with weak_line_to_redis(settings.REDIS_URL) as line:
        yield line


async def test_a_cut_connection_fails_those_who_wait_and_comes_back(
    link: RedisLink, new_link: NewLink
) -> None:
    doomed = new_link()
    own = await doomed.call("CLIENT", "ID")
    waiting = [
        asyncio.ensure_future(doomed.call("BLPOP", f"test:{uuid4()}", 5)),
        asyncio.ensure_future(doomed.call("ECHO", "behind it")),
    ]
    await asyncio.sleep(0.05)
    await link.call("CLIENT", "KILL", "ID", own)
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
    assert [type(result) for result in results] == [RedisGone, RedisGone]
    assert await doomed.call("ECHO", "again") == b"again"


async def test_nobody_listens(new_link: NewLink) -> None:
    nowhere = new_link("redis://127.0.0.1:1/0")
    results = await asyncio.gather(
        *[nowhere.call("PING") for _ in range(5)],
        nowhere.many([("PING",)]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [RedisGone] * 6


async def test_a_server_that_accepts_but_never_answers(new_link: NewLink) -> None:
    async with PlayedRedis(silent) as played:
        link = new_link(played.url, timeout_s=0.4)
        began = time.monotonic()
        asked = [link.call("PING") for _ in range(3)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(result) for result in results] == [RedisGone] * 3
        assert 0.4 <= time.monotonic() - began < 1


async def test_a_server_that_does_not_answer_the_greeting(
    monkeypatch: pytest.MonkeyPatch, new_link: NewLink
) -> None:
    monkeypatch.setattr(redis_link, "CONNECT_TIMEOUT_S", 0.3)
    async with PlayedRedis(silent) as played:
        link = new_link(f"{played.url}/5")
        began = time.monotonic()
        with pytest.raises(RedisGone):
            await link.call("PING")
        assert time.monotonic() - began < 1


async def test_a_frozen_connection_is_given_up_and_a_new_one_works(
    line: WeakLine, new_link: NewLink
) -> None:
    link = new_link(over(line, settings.REDIS_URL), timeout_s=0.4)
    assert await link.call("ECHO", "first") == b"first"
    await asyncio.sleep(0.3)  # nobody watches a link that is quiet
    assert link._watchdog is None
    line.freeze()
    with pytest.raises(RedisGone):
        await asyncio.wait_for(link.call("ECHO", "into the void"), 1)
    line.thaw()
    assert await link.call("ECHO", "second") == b"second"


async def test_through_many_losses_no_caller_gets_anothers_answer(
    line: WeakLine, new_link: NewLink
) -> None:
    link = new_link(over(line, settings.REDIS_URL), timeout_s=1)
    answered = lost = 0

    async def ask(n: int) -> None:
        nonlocal answered, lost
        for turn in range(60):
            word = f"{n}-{turn}".encode()
            try:
                assert await link.call("ECHO", word) == word
                answered += 1
            except RedisGone:
                lost += 1
            await asyncio.sleep(0.005)

    async def cut() -> None:
        for _ in range(6):
            await asyncio.sleep(0.05)
            await line.cut()

    await asyncio.gather(cut(), *map(ask, range(10)))
    assert answered > 400
    assert line.accepted >= 5


async def test_it_reconnects_by_itself_when_the_server_is_back(
    line: WeakLine, new_link: NewLink
) -> None:
    link = new_link(over(line, settings.REDIS_URL))
    await link.call("PING")
    await line.down()
    for _ in range(3):
        with pytest.raises(RedisGone):
            await link.call("PING")
    await line.up()
    assert await link.call("PING") == b"PONG"


async def test_after_close_nothing_works_and_nobody_hangs(new_link: NewLink) -> None:
    async with PlayedRedis(silent) as played:
        link = new_link(played.url, timeout_s=None)
        waiting = asyncio.ensure_future(link.call("BLPOP", "x", 0))
        await asyncio.sleep(0.05)
        link.close()
        with pytest.raises(RedisGone):
            await asyncio.wait_for(waiting, 30)
        with pytest.raises(RedisGone):
            await link.call("PING")


async def test_closed_while_it_connects_it_stays_closed(new_link: NewLink) -> None:
    async with PlayedRedis(fine) as played:
        link = new_link(played.url)
        asked = asyncio.ensure_future(link.call("PING"))
        await asyncio.sleep(0)
        link.close()
        with pytest.raises(RedisGone):
            await asyncio.wait_for(asked, 30)
        assert played.heard == []
