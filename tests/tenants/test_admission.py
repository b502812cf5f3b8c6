"""Limits against the real Redis and its real clock."""

import asyncio
import time
from uuid import uuid4

import pytest
from django.conf import settings

from tenants.admission import Admission, admit, concurrency_key, release
from tenants.caller import Caller
from tenants.redis_link import RedisGone, RedisLink
from tests.tenants.callers import caller
from tests.tenants.conftest import NewLink


async def ask(
    link: RedisLink, who: Caller, *, ip: str = "", per_ip: int = 0, hold_s: int = 60
) -> Admission:
    return await admit(
        link, who, client_ip=ip, ip_per_minute=per_ip, request_id=str(uuid4()), hold_s=hold_s
    )


def an_ip() -> str:
    return f"test-{uuid4()}"


async def safe_in_this_minute(seconds: float = 5) -> None:
    """IP windows are minutes of the clock: a test must not straddle two."""
    left = 60 - time.time() % 60
    if left < seconds:
        await asyncio.sleep(left + 0.05)


async def test_without_limits_everybody_comes_in(link: RedisLink) -> None:
    acme = caller()
    answers = await asyncio.gather(*[ask(link, acme, ip="192.0.2.1") for _ in range(300)])
    assert {answer.tier for answer in answers} == {""}


async def test_the_bucket_holds_its_burst(link: RedisLink) -> None:
    acme = caller(per_minute=6, burst=5)
    answers = [await ask(link, acme) for _ in range(7)]
    assert [answer.tier for answer in answers] == [""] * 5 + ["rate"] * 2
    assert [answer.remaining for answer in answers[:5]] == [4, 3, 2, 1, 0]
    assert answers[5].limit == 6
    assert 9_000 < answers[5].frees_in_ms <= 10_000


async def test_after_the_time_told_one_is_let_in_and_only_one(link: RedisLink) -> None:
    acme = caller(per_minute=300, burst=3)
    while not (refused := await ask(link, acme)).tier:
        pass
    await asyncio.sleep(refused.frees_in_ms / 1000)
    assert [(await ask(link, acme)).tier for _ in range(2)] == ["", "rate"]


async def test_before_the_time_told_nobody_is_let_in(link: RedisLink) -> None:
    acme = caller(per_minute=120, burst=1)
    await ask(link, acme)
    refused = await ask(link, acme)
    await asyncio.sleep(refused.frees_in_ms / 1000 * 0.8)
    assert (await ask(link, acme)).tier == "rate"


async def test_places_are_counted_given_back_and_expire(link: RedisLink) -> None:
    acme = caller(at_once=2)
    held = str(uuid4())
    options = {"client_ip": "", "ip_per_minute": 0}
    await admit(link, acme, request_id=held, hold_s=60, **options)  # type: ignore[arg-type]
    await ask(link, acme, hold_s=1)
    assert (await ask(link, acme)).tier == "concurrency"
    await release(link, acme, held)
    assert (await ask(link, acme)).tier == ""
    refused = await ask(link, acme)
    assert refused.tier == "concurrency"
    assert 0 < refused.frees_in_ms <= 1000
    await asyncio.sleep(refused.frees_in_ms / 1000)
    assert (await ask(link, acme)).tier == ""


async def test_asking_twice_with_one_id_takes_one_place(link: RedisLink) -> None:
    acme = caller(at_once=5)
    for _ in range(2):
        await admit(link, acme, client_ip="", ip_per_minute=0, request_id="same", hold_s=60)
    assert await link.call("ZCARD", concurrency_key(str(acme.tenant_id))) == 1


async def test_an_address_has_its_own_limit_over_all_tenants(link: RedisLink) -> None:
    await safe_in_this_minute()
    ip, acme, globex = an_ip(), caller(), caller()
    answers = [await ask(link, who, ip=ip, per_ip=3) for who in (acme, globex, acme, globex)]
    assert [answer.tier for answer in answers] == ["", "", "", "ip"]
    left_in_minute = 60_000 - time.time() * 1000 % 60_000
    assert answers[3].frees_in_ms == pytest.approx(left_in_minute, abs=500)
    assert (await ask(link, acme, ip=an_ip(), per_ip=3)).tier == ""


async def test_a_tenants_refusal_does_not_touch_another_tenant(link: RedisLink) -> None:
    acme, globex = caller(per_minute=1, burst=1), caller(per_minute=1, burst=1)
    await ask(link, acme)
    assert (await ask(link, acme)).tier == "rate"
    assert (await ask(link, globex)).tier == ""


async def test_a_refusal_costs_nothing_at_the_other_tiers(link: RedisLink) -> None:
    await safe_in_this_minute()
    ip, acme = an_ip(), caller(per_minute=60, burst=2, at_once=1)
    assert (await ask(link, acme, ip=ip, per_ip=2, hold_s=60)).tier == ""
    for _ in range(5):  # refused for want of a place: no token, no count of the address
        assert (await ask(link, acme, ip=ip, per_ip=2)).tier == "concurrency"
    await link.call("DEL", concurrency_key(str(acme.tenant_id)))
    assert (await ask(link, acme, ip=ip, per_ip=2)).tier == ""
    for _ in range(5):  # refused by the address
        assert (await ask(link, acme, ip=ip, per_ip=2)).tier == "ip"
    assert await link.call("ZCARD", concurrency_key(str(acme.tenant_id))) == 1


async def test_many_web_processes_admit_exactly_the_bound(new_link: NewLink) -> None:
    acme = caller(per_minute=6, burst=40, at_once=0)
    links = [new_link() for _ in range(8)]
    answers = await asyncio.gather(*[ask(links[n % 8], acme) for n in range(400)])
    assert sum(not answer.tier for answer in answers) == 40

    globex = caller(at_once=25)
    answers = await asyncio.gather(*[ask(links[n % 8], globex) for n in range(400)])
    assert sum(not answer.tier for answer in answers) == 25

    await safe_in_this_minute()
    ip = an_ip()
    asked = [ask(links[n % 8], caller(), ip=ip, per_ip=30) for n in range(400)]
    assert sum(not answer.tier for answer in await asyncio.gather(*asked)) == 30


async def test_without_redis_nobody_is_admitted(new_link: NewLink) -> None:
    with pytest.raises(RedisGone):
        await ask(new_link("redis://127.0.0.1:1"), caller())


async def test_what_it_keeps_in_redis_expires(link: RedisLink) -> None:
    ip, acme = an_ip(), caller(per_minute=60, burst=10, at_once=5)
    await ask(link, acme, ip=ip, per_ip=10)
    _, keys = await link.call("SCAN", 0, "MATCH", f"*{acme.tenant_id}*", "COUNT", 1_000_000)
    _, windows = await link.call("SCAN", 0, "MATCH", f"ip:{ip}:*", "COUNT", 1_000_000)
    assert len(keys) == 2
    assert len(windows) == 1
    for key in keys + windows:
        assert 0 < await link.call("PTTL", key) <= 62_000


def test_the_suite_talks_to_a_real_redis() -> None:
    assert settings.REDIS_URL.startswith("redis")


async def test_in_ipv6_a_household_counts_as_one(link: RedisLink) -> None:
    await safe_in_this_minute()
    acme, home = caller(), f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}"
    answers = [await ask(link, acme, ip=f"{home}::{n}", per_ip=2) for n in range(1, 4)]
    assert [answer.tier for answer in answers] == ["", "", "ip"]
    assert (await ask(link, acme, ip="2001:db8:ffff:ffff::1", per_ip=2)).tier == ""
    assert (await ask(link, acme, ip="fe80::1%eth0", per_ip=100)).tier == ""
