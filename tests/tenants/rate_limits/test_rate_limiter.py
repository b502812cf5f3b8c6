"""One web process's admission while Redis goes, is slow, or loses what it held."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest
from django.conf import settings

from infrastructure.redis.link import RedisLink
from tenants.caller import Caller, Limits
from tenants.rate_limits import rate_limiter as module
from tenants.rate_limits.admission import CLOCK_KEY, PATIENCE_S, TAG, Ask, concurrency_key
from tenants.rate_limits.held_slots import HeldSlot, release
from tenants.rate_limits.rate_limiter import RateLimiter
from tests.audit.weak_line import WeakLine, over, weak_line_to_redis
from tests.tenants.callers import caller


@pytest.fixture
async def redis() -> AsyncIterator[WeakLine]:
    async with weak_line_to_redis(settings.REDIS_URL) as line:
        yield line


@pytest.fixture
async def rate_limiter(
    redis: WeakLine, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RateLimiter]:
    monkeypatch.setattr(module, "PROBE_S", 0.1)
    rate_limiter = RateLimiter(over(redis, settings.REDIS_URL))
    await rate_limiter.open()
    yield rate_limiter
    await rate_limiter.close()


def asked(who: Caller, **more: object) -> Ask:
    return Ask.of(who, str(uuid4()), **more)  # type: ignore[arg-type]


async def tier(rate_limiter: RateLimiter, who: Caller, **more: object) -> str:
    admission, _ = await rate_limiter.admit(asked(who, **more))
    return admission.tier


async def is_back(rate_limiter: RateLimiter) -> None:
    async with asyncio.timeout(5):
        while rate_limiter.alone:
            await asyncio.sleep(0.02)


async def test_a_redis_that_is_slow_while_a_process_starts_is_waited_for(redis: WeakLine) -> None:
    redis.freeze()
    rate_limiter = RateLimiter(over(redis, settings.REDIS_URL))
    opening = asyncio.create_task(rate_limiter.open())
    await asyncio.sleep(2 * PATIENCE_S)
    redis.thaw()
    await opening
    assert not rate_limiter.alone
    assert await tier(rate_limiter, caller()) == ""
    await rate_limiter.close()


async def test_a_frozen_redis_costs_a_moment_and_then_nothing(
    rate_limiter: RateLimiter, redis: WeakLine
) -> None:
    who = caller()
    assert await tier(rate_limiter, who) == ""
    redis.freeze()
    took: list[float] = []

    async def timed() -> None:
        began = time.monotonic()
        assert await tier(rate_limiter, who) == ""
        took.append(time.monotonic() - began)

    await asyncio.gather(*[timed() for _ in range(50)])
    assert rate_limiter.alone
    first, took[:] = max(took), []
    for _ in range(100):
        await timed()
        await asyncio.sleep(0.005)
    assert first < 1  # 0.25 s on a machine that has nothing else to do
    assert sorted(took)[98] < first
    redis.thaw()
    await is_back(rate_limiter)
    assert await tier(rate_limiter, who) == ""
    assert rate_limiter.outages == 1


async def test_when_redis_goes_in_a_burst_there_is_no_second_one(
    rate_limiter: RateLimiter, redis: WeakLine
) -> None:
    who = caller(per_minute=60, burst=40)
    began, let_in = time.monotonic(), 0
    for step in ("", "freeze", "", "thaw", "", "down", "", "up", ""):
        if step in ("freeze", "thaw"):
            getattr(redis, step)()
        elif step:
            await getattr(redis, step)()
        for _ in range(6):
            answers = await asyncio.gather(*[tier(rate_limiter, who) for _ in range(20)])
            let_in += answers.count("")
            await asyncio.sleep(0.1)
    await is_back(rate_limiter)
    let_in += [await tier(rate_limiter, who) for _ in range(50)].count("")
    passed = time.monotonic() - began
    assert 40 <= let_in <= 40 + passed + 1


async def test_redis_is_told_of_everybody_who_came_in_without_it(
    rate_limiter: RateLimiter, redis: WeakLine, link: RedisLink
) -> None:
    """A minute of absence does not give the same minute twice."""
    who = caller(per_minute=600, burst=10, tokens=6000, at_once=5, key=Limits(600, 10, 6000, 5))
    await redis.down()
    assert await tier(rate_limiter, caller()) == ""
    await asyncio.sleep(0.55)  # five requests have been refilled
    held = [asked(who, tokens=10, client_ip="198.51.100.77", per_address=1000) for _ in range(4)]
    for ask in held:
        admission, counted_at = await rate_limiter.admit(ask)
        assert (admission.tier, counted_at) == ("", -1)
    rate_limiter.over(held[0].request_id)
    await rate_limiter.undo(held[1], -1)
    await redis.up()
    await is_back(rate_limiter)
    assert await link.call("ZCARD", concurrency_key(str(who.tenant_id))) == 2
    assert await link.call("ZCARD", concurrency_key(str(who.api_key_id))) == 2
    kept = msgspec.msgpack.decode(await link.call("GET", f"{TAG}:levels:{who.tenant_id}"))
    assert 7 <= kept[1] < 10  # three came in: one was undone
    assert 5980 <= kept[2] <= 6000
    assert await link.call("LLEN", f"{TAG}:address:198.51.100.77") == 3
    assert await release(link, HeldSlot(held[2].request_id, held[2].tenant, held[2].key), 10, 5)
    await link.call("DEL", f"{TAG}:address:198.51.100.77")


async def test_what_goes_no_further_while_redis_is_away_is_undone_later(
    rate_limiter: RateLimiter, redis: WeakLine, link: RedisLink
) -> None:
    who = caller(per_minute=6, burst=1, at_once=1)
    ask = asked(who)
    _, counted_at = await rate_limiter.admit(ask)
    await redis.down()
    await rate_limiter.undo(ask, counted_at)
    assert rate_limiter.alone
    await redis.up()
    await is_back(rate_limiter)
    assert await link.call("ZCARD", concurrency_key(str(who.tenant_id))) == 0
    assert await tier(rate_limiter, who) == ""


async def test_a_request_that_redis_looks_at_too_late_takes_nothing(
    rate_limiter: RateLimiter, redis: WeakLine, link: RedisLink
) -> None:
    """Nobody waits for it any more: its place would be held until it expires."""
    who = caller(at_once=5)
    assert await tier(rate_limiter, who) == ""  # it knows Redis's clock now
    redis.freeze()
    await tier(rate_limiter, who)
    await asyncio.sleep(0.3)
    redis.thaw()
    await is_back(rate_limiter)
    await asyncio.sleep(0.1)
    known = await link.call("ZCARD", concurrency_key(str(who.tenant_id)))
    assert known == 2  # the first, and the one that was let in here and is owed


async def test_an_address_over_its_limit_is_remembered(
    rate_limiter: RateLimiter, redis: WeakLine, link: RedisLink
) -> None:
    who, ip = caller(), "198.51.100.78"
    await link.call("DEL", f"{TAG}:address:{ip}")
    asks = [asked(who, client_ip=ip, per_address=2) for _ in range(3)]
    assert [(await rate_limiter.admit(ask))[0].tier for ask in asks] == ["", "", "ip"]
    await redis.down()
    refused = rate_limiter.blocked(ip)
    assert refused
    assert (refused.tier, refused.limit) == ("ip", 2)
    assert 55_000 < refused.frees_in_ms <= 60_000
    assert await tier(rate_limiter, who, client_ip=ip, per_address=2) == "ip"
    assert not rate_limiter.alone  # Redis was not even asked
    assert rate_limiter.blocked("198.51.100.79") is None


async def test_it_says_when_the_limits_are_its_own(
    rate_limiter: RateLimiter, redis: WeakLine, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.down()
    for _ in range(5):
        await tier(rate_limiter, caller())
    assert rate_limiter.alone
    await redis.up()
    await is_back(rate_limiter)
    told = [r.message for r in caplog.records if r.name == "tenants.rate_limits.rate_limiter"]
    assert len(told) == 2
    assert "Redis is unavailable" in told[0]
    assert "Redis is back after" in told[1]


async def test_it_starts_without_redis(redis: WeakLine) -> None:
    await redis.down()
    rate_limiter = RateLimiter(over(redis, settings.REDIS_URL))
    await rate_limiter.open()
    assert rate_limiter.alone
    assert await tier(rate_limiter, caller(per_minute=60)) == "rate"
    await rate_limiter.close()


async def test_places_of_what_is_in_progress_are_taken_again(
    redis: WeakLine, link: RedisLink
) -> None:
    who = caller(at_once=3, key=Limits(max_concurrency=3))
    places = [HeldSlot(str(uuid4()), str(who.tenant_id), str(who.api_key_id)) for _ in range(3)]
    rate_limiter = RateLimiter(settings.REDIS_URL, in_progress=lambda: places)
    assert await tier(rate_limiter, caller()) == ""
    await link.call("DEL", CLOCK_KEY)
    assert await tier(rate_limiter, who) in ("concurrency", "key_concurrency")
    assert await link.call("ZCARD", concurrency_key(str(who.tenant_id))) == 3
    await link.call("DEL", CLOCK_KEY)  # not strict for the tests that follow
    await rate_limiter.close()
