"""Limits against the real Redis and its real clock."""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from itertools import count
from uuid import uuid4

import msgspec
import pytest
from django.conf import settings

from infrastructure.redis.link import RedisGone, RedisLink
from tenants.caller import Caller, Limits
from tenants.rate_limits.admission import (
    LIGHT,
    TAG,
    Admission,
    Ask,
    SharedAdmission,
    concurrency_key,
)
from tenants.rate_limits.held_slots import UNKNOWN, HeldSlot, reacquire, release, undo
from tests.tenants.callers import caller
from tests.tenants.conftest import NewLink

_addresses = count(1)


async def nothing() -> None: ...


@pytest.fixture
def shared(link: RedisLink) -> SharedAdmission:
    return SharedAdmission(link, nothing)


def an_ask(
    who: Caller,
    *,
    ip: str = "",
    per_ip: int = 0,
    tokens: int = 0,
    hold_s: int = 60,
    size: int = 0,
    takes_slot: bool = True,
) -> Ask:
    return Ask.of(
        who,
        str(uuid4()),
        client_ip=ip,
        per_address=per_ip,
        tokens=tokens,
        hold_s=hold_s,
        size=size,
        takes_slot=takes_slot,
    )


def remaining(admission: Admission) -> int | None:
    return admission.requests.remaining if admission.requests else None


async def ask(shared: SharedAdmission, who: Caller, **asked: object) -> Admission:
    admission, _ = await shared.admit(an_ask(who, **asked))  # type: ignore[arg-type]
    return admission


def an_ip() -> str:
    """Of its own, in 198.18.0.0/15."""
    n = uuid4().int
    return f"198.{18 + n % 2}.{n // 2 % 256}.{n // 512 % 256}"


def place_of(asked: Ask) -> HeldSlot:
    return HeldSlot(asked.request_id, asked.tenant, asked.key, asked.bytes, asked.takes_slot)


async def test_without_limits_everybody_comes_in(shared: SharedAdmission) -> None:
    acme = caller()
    answers = await asyncio.gather(*[ask(shared, acme, ip=an_ip()) for _ in range(300)])
    assert {answer.tier for answer in answers} == {""}
    assert answers[0].requests is answers[0].tokens is None


# Token buckets of requests ----------------------------------------------------------------------
async def test_the_bucket_holds_its_burst(shared: SharedAdmission) -> None:
    acme = caller(per_minute=6, burst=5)
    answers = [await ask(shared, acme) for _ in range(7)]
    assert [answer.tier for answer in answers] == [""] * 5 + ["rate"] * 2
    assert [remaining(answer) for answer in answers[:5]] == [4, 3, 2, 1, 0]
    assert (answers[5].limit, answers[5].used) == (6, 5)
    assert 9_000 < answers[5].frees_in_ms <= 10_000


async def test_after_the_time_told_one_is_let_in_and_only_one(shared: SharedAdmission) -> None:
    acme = caller(per_minute=300, burst=3)
    while not (refused := await ask(shared, acme)).tier:
        pass
    await asyncio.sleep(refused.frees_in_ms / 1000)
    assert [(await ask(shared, acme)).tier for _ in range(2)] == ["", "rate"]


async def test_before_the_time_told_nobody_is_let_in(shared: SharedAdmission) -> None:
    acme = caller(per_minute=120, burst=1)
    await ask(shared, acme)
    refused = await ask(shared, acme)
    await asyncio.sleep(refused.frees_in_ms / 1000 * 0.8)
    assert (await ask(shared, acme)).tier == "rate"


async def test_a_key_has_its_own_bucket_under_its_tenants(shared: SharedAdmission) -> None:
    ci = caller(per_minute=6, burst=5, key=Limits(requests_per_minute=6, burst=2))
    web = replace(ci, api_key_id=uuid4(), key_limits=Limits())
    assert [(await ask(shared, ci)).tier for _ in range(3)] == ["", "", "key_rate"]
    assert [(await ask(shared, web)).tier for _ in range(4)] == ["", "", "", "rate"]
    refused = await ask(shared, ci)  # both are empty: the one that stays so for longer is named
    assert refused.tier in ("key_rate", "rate")


async def test_the_headers_are_of_the_tightest_tier(shared: SharedAdmission) -> None:
    who = caller(per_minute=60, burst=50, tokens=10_000, key=Limits(6, 3, 600))
    found = await ask(shared, who, tokens=100)
    assert found.requests
    assert found.tokens
    assert found.scope == "key_rate"
    assert (found.requests.limit, found.requests.remaining) == (6, 2)
    assert 9_900 < found.requests.full_in_ms <= 10_000  # one token, of six a minute
    assert (found.tokens.limit, found.tokens.remaining) == (600, 500)
    assert 9_900 < found.tokens.full_in_ms <= 10_000
    for_the_tenant = caller(per_minute=60, burst=2, key=Limits(60, 50))
    assert (await ask(shared, for_the_tenant)).scope == "rate"


# Tokens per minute ------------------------------------------------------------------------------
async def test_tokens_are_charged_as_estimated(shared: SharedAdmission) -> None:
    acme = caller(tokens=1000)
    assert [(await ask(shared, acme, tokens=400)).tier for _ in range(3)] == ["", "", "tokens"]
    refused = await ask(shared, acme, tokens=400)
    assert (refused.limit, refused.used) == (1000, 800)
    assert refused.tokens
    assert refused.tokens.remaining == 200
    assert 11_500 < refused.frees_in_ms <= 12_000  # 200 tokens at 1000 a minute
    assert (await ask(shared, acme, tokens=200)).tier == ""


async def test_a_key_has_its_own_tokens(shared: SharedAdmission) -> None:
    who = caller(tokens=10_000, key=Limits(tokens_per_minute=100))
    assert [(await ask(shared, who, tokens=60)).tier for _ in range(2)] == ["", "key_tokens"]


async def test_one_larger_than_the_bucket_comes_in_when_it_is_full_and_leaves_a_debt(
    shared: SharedAdmission,
) -> None:
    acme = caller(tokens=600)
    assert (await ask(shared, acme, tokens=900)).tier == ""
    refused = await ask(shared, acme, tokens=1)
    assert refused.tier == "tokens"
    assert 30_000 < refused.frees_in_ms <= 30_100  # 300 of debt and 1, at 600 a minute
    globex = caller(tokens=600)
    await ask(shared, globex, tokens=1)
    assert (await ask(shared, globex, tokens=900)).tier == "tokens"  # not full


async def test_what_it_really_took_is_charged_in_the_end(
    shared: SharedAdmission, link: RedisLink
) -> None:
    acme = caller(tokens=1000, key=Limits(tokens_per_minute=1000))
    asked = an_ask(acme, tokens=900)
    await shared.admit(asked)
    assert await release(link, place_of(asked), 900, 100)
    assert not await release(link, place_of(asked), 900, 100)  # once
    found = await ask(shared, acme, tokens=0)
    assert found.tokens
    assert 900 <= found.tokens.remaining <= 902
    more = an_ask(acme, tokens=10)
    await shared.admit(more)
    assert await release(link, place_of(more), 10, 1000)  # it took more than was set aside
    refused = await ask(shared, acme, tokens=1)
    assert refused.tier == "key_tokens"
    assert 5_500 < refused.frees_in_ms <= 6_200  # about 100 of debt
    assert not await release(link, HeldSlot("unheard-of", asked.tenant), 900, 0)


async def test_giving_back_fills_no_bucket_over_its_size(
    shared: SharedAdmission, link: RedisLink
) -> None:
    acme = caller(tokens=6_000_000)  # refills within a moment
    asked = an_ask(acme, tokens=1000)
    await shared.admit(asked)
    await asyncio.sleep(0.05)
    await release(link, place_of(asked), 1000, 0)
    kept = msgspec.msgpack.decode(await link.call("GET", f"{TAG}:levels:{acme.tenant_id}"))
    assert kept[2] == 6_000_000


# Places -----------------------------------------------------------------------------------------
async def test_places_are_counted_given_back_and_expire(
    shared: SharedAdmission, link: RedisLink
) -> None:
    acme = caller(at_once=2)
    held = an_ask(acme)
    await shared.admit(held)
    await ask(shared, acme, hold_s=1)
    refused = await ask(shared, acme)
    assert (refused.tier, refused.limit, refused.used) == ("concurrency", 2, 2)
    await release(link, place_of(held), 0, 0)
    assert (await ask(shared, acme)).tier == ""
    refused = await ask(shared, acme)
    assert refused.tier == "concurrency"
    assert 0 < refused.frees_in_ms <= 1000
    await asyncio.sleep(refused.frees_in_ms / 1000 + 0.01)
    assert (await ask(shared, acme)).tier == ""


async def test_a_key_has_places_of_its_own(shared: SharedAdmission, link: RedisLink) -> None:
    ci = caller(at_once=3, key=Limits(max_concurrency=1))
    held = an_ask(ci)
    await shared.admit(held)
    assert (await ask(shared, ci)).tier == "key_concurrency"
    web = replace(ci, api_key_id=uuid4(), key_limits=Limits())
    assert [(await ask(shared, web)).tier for _ in range(3)] == ["", "", "concurrency"]
    await release(link, place_of(held), 0, 0)
    assert (await ask(shared, ci)).tier == ""


async def test_asking_twice_with_one_id_takes_one_place(
    shared: SharedAdmission, link: RedisLink
) -> None:
    acme = caller(at_once=5)
    asked = an_ask(acme)
    for _ in range(2):
        await shared.admit(asked)
    assert await link.call("ZCARD", concurrency_key(str(acme.tenant_id))) == 1


async def test_asking_twice_with_one_id_holds_its_bytes_once(
    shared: SharedAdmission, link: RedisLink
) -> None:
    acme = caller(limits=Limits(megabytes_in_flight=1))
    asked = an_ask(acme, size=300_000)
    for _ in range(2):
        await shared.admit(asked)
    assert (await ask(shared, acme, size=600_000)).tier == ""
    assert (await ask(shared, acme, size=300_000)).tier == "bytes"
    await release(link, place_of(asked), 0, 0)
    assert (await ask(shared, acme, size=300_000)).tier == ""


async def test_what_came_in_without_redis_is_charged_once(
    shared: SharedAdmission, link: RedisLink
) -> None:
    """The answer to the first telling may get lost: it is told again."""
    acme = caller(60, 10, at_once=5, tokens=60)
    owed = an_ask(acme, tokens=10)
    for _ in range(3):
        await shared.admit(owed, "owed")
    admission = await ask(shared, acme, tokens=10)
    assert admission.requests
    assert admission.tokens
    assert 8 <= admission.requests.remaining <= 9, "a second fills in one"
    assert 40 <= admission.tokens.remaining <= 44
    assert await link.call("ZCARD", concurrency_key(str(acme.tenant_id))) == 2


async def test_after_a_loss_places_are_held_again(shared: SharedAdmission, link: RedisLink) -> None:
    ci = caller(at_once=5, key=Limits(max_concurrency=1))
    asked = an_ask(ci)
    for _ in range(2):
        await reacquire(link, place_of(asked), 60)
    assert (await ask(shared, ci)).tier == "key_concurrency"
    assert await release(link, place_of(asked), 0, 0)
    assert (await ask(shared, ci)).tier == ""


async def test_what_takes_no_slot_is_not_counted_and_not_refused(
    shared: SharedAdmission, link: RedisLink
) -> None:
    limits = Limits(max_concurrency=1, megabytes_in_flight=1)
    ci = caller(limits=limits, key=limits)
    for _ in range(3):
        assert (await ask(shared, ci, takes_slot=False, size=900_000)).tier == ""
    assert (await ask(shared, ci, size=900_000)).tier == ""
    assert (await ask(shared, ci)).tier == "key_concurrency"
    assert (await ask(shared, ci, takes_slot=False)).tier == ""


async def test_what_takes_no_slot_pays_its_tokens_and_gets_them_back_once(
    shared: SharedAdmission, link: RedisLink
) -> None:
    acme = caller(tokens=1000)
    asked = an_ask(acme, tokens=800, takes_slot=False)
    assert (await shared.admit(asked))[0].tier == ""
    assert (await ask(shared, acme, tokens=800)).tier == "tokens"
    assert await release(link, place_of(asked), 800, 0)
    assert not await release(link, place_of(asked), 800, 0)
    assert (await ask(shared, acme, tokens=800)).tier == ""


async def test_a_place_is_held_again_until_it_is_over(link: RedisLink) -> None:
    asked = an_ask(caller())
    for until, most in ((0.0, 60_000), (time.time() + 3600, 3_600_000)):
        await reacquire(link, msgspec.structs.replace(place_of(asked), until=until), 60)
        left = await link.call("PTTL", concurrency_key(asked.tenant))
        assert most - 5_000 < left <= most


async def test_a_short_request_does_not_cut_the_time_of_a_long_one(
    shared: SharedAdmission, link: RedisLink
) -> None:
    limits = Limits(max_concurrency=5, megabytes_in_flight=5)
    ci = caller(limits=limits, key=limits)
    names = [concurrency_key(str(ci.tenant_id)), concurrency_key(str(ci.api_key_id))]
    for hold_s, lasts_ms in ((10, 10_000), (3600, 3_600_000), (10, 3_600_000)):
        assert (await ask(shared, ci, hold_s=hold_s, size=20_000)).tier == ""
        for name in (*names, *(f"{name}:bytes" for name in names)):
            assert lasts_ms - 5_000 < await link.call("PTTL", name) <= lasts_ms


# Bytes ------------------------------------------------------------------------------------------
async def test_bytes_in_flight_are_given_back_with_the_place(
    shared: SharedAdmission, link: RedisLink
) -> None:
    acme = caller(limits=Limits(megabytes_in_flight=4))
    held = an_ask(acme, size=3_000_000)
    assert (await shared.admit(held))[0].tier == ""
    refused = await ask(shared, acme, size=1_500_000)
    assert (refused.tier, refused.limit, refused.used) == ("bytes", 4_000_000, 3_000_000)
    assert 0 < refused.frees_in_ms <= 1000
    assert (await ask(shared, acme, size=1_000_000)).tier == ""
    assert (await ask(shared, acme, size=LIGHT)).tier == ""  # small ones are not counted
    await release(link, place_of(held), 0, 0)
    assert (await ask(shared, acme, size=3_000_000)).tier == ""


async def test_one_larger_than_the_bytes_in_flight_comes_in_alone(
    shared: SharedAdmission, link: RedisLink
) -> None:
    acme = caller(limits=Limits(megabytes_in_flight=1))
    large = an_ask(acme, size=4_000_000)
    assert (await shared.admit(large))[0].tier == ""
    assert (await ask(shared, acme, size=20_000)).tier == "bytes"
    await release(link, msgspec.structs.replace(place_of(large), bytes=UNKNOWN), 0, 0)
    assert (await ask(shared, acme, size=20_000)).tier == ""
    assert (await ask(shared, acme, size=4_000_000)).tier == "bytes"


async def test_bytes_in_flight_of_a_dead_request_expire(shared: SharedAdmission) -> None:
    acme = caller(limits=Limits(megabytes_in_flight=1))
    assert (await ask(shared, acme, size=900_000, hold_s=1)).tier == ""
    assert (await ask(shared, acme, size=900_000)).tier == "bytes"
    await asyncio.sleep(1.01)
    assert (await ask(shared, acme, size=900_000)).tier == ""
    assert (await ask(shared, acme, size=900_000)).tier == "bytes"


async def test_a_key_has_bytes_of_its_own(shared: SharedAdmission, link: RedisLink) -> None:
    tenant = Limits(megabytes_in_flight=5, megabytes_per_day=9)
    ci = caller(limits=tenant, key=Limits(megabytes_in_flight=2, megabytes_per_day=3))
    web = replace(ci, api_key_id=uuid4(), key_limits=Limits())
    held = an_ask(ci, size=2_000_000)
    await shared.admit(held)
    assert (await ask(shared, ci, size=500_000)).tier == "key_bytes"
    assert [(await ask(shared, web, size=1_500_000)).tier for _ in range(3)] == ["", "", "bytes"]
    await release(link, place_of(held), 0, 0)
    assert [(await ask(shared, ci, size=700_000)).tier for _ in range(2)] == ["", "key_stored"]


async def test_bytes_stored_per_day_count_requests_and_answers(
    shared: SharedAdmission, link: RedisLink
) -> None:
    acme = caller(limits=Limits(megabytes_per_day=10))
    first = an_ask(acme, size=4_000_000)
    await shared.admit(first)
    await release(link, place_of(first), 0, 0, 3_000_000)
    refused = await ask(shared, acme, size=4_000_000)
    assert (refused.tier, refused.limit) == ("stored", 10_000_000)
    assert 6_999_000 <= refused.used <= 7_000_000
    rate = 10_000_000 / 86_400_000  # a millisecond
    assert refused.frees_in_ms == pytest.approx(1_000_000 / rate, rel=0.001)
    undone = an_ask(acme, size=3_000_000)
    admission, counted_at = await shared.admit(undone)
    assert admission.tier == ""
    await undo(link, undone, counted_at)  # it is not on record
    assert (await ask(shared, acme, size=3_000_000)).tier == ""
    assert (await ask(shared, acme, size=10_000)).tier == "stored"


async def test_after_a_loss_bytes_in_flight_are_held_again(
    shared: SharedAdmission, link: RedisLink
) -> None:
    limits = Limits(megabytes_in_flight=2)
    for ci in (caller(limits=limits), caller(key=limits)):
        asked = an_ask(ci, size=1_500_000)
        for _ in range(2):
            await reacquire(link, place_of(asked), 60)
        assert (await ask(shared, ci, size=1_000_000)).tier.endswith("bytes")
        assert await release(link, place_of(asked), 0, 0)
        assert (await ask(shared, ci, size=1_000_000)).tier == ""


# Addresses --------------------------------------------------------------------------------------
async def test_an_address_has_its_own_limit_over_all_tenants(shared: SharedAdmission) -> None:
    ip, acme, globex = an_ip(), caller(), caller()
    answers = [await ask(shared, who, ip=ip, per_ip=3) for who in (acme, globex, acme, globex)]
    assert [answer.tier for answer in answers] == ["", "", "", "ip"]
    assert (answers[3].limit, answers[3].used) == (3, 3)
    assert 59_000 < answers[3].frees_in_ms <= 60_000
    assert [remaining(answer) for answer in answers] == [2, 1, 0, 0]
    assert (await ask(shared, acme, ip=an_ip(), per_ip=3)).tier == ""


async def test_one_that_was_counted_before_is_not_counted_again(
    shared: SharedAdmission,
) -> None:
    ip, acme = an_ip(), caller(per_minute=1, burst=1)
    before = Ask(str(uuid4()), ip, 3)
    admission, counted_at = await shared.admit(before)
    assert remaining(admission) == 2
    asked = msgspec.structs.replace(an_ask(acme, ip=ip, per_ip=3), address_counted_at=counted_at)
    admission, _ = await shared.admit(asked)
    assert admission.tier == ""
    refused = await ask(shared, acme, ip=ip, per_ip=3)
    assert refused.tier == "rate"
    assert refused.requests
    # refused by its tenant: what it paid before authentication comes back, too
    _, counted_at = await shared.admit(Ask(str(uuid4()), ip, 3))
    refused, _ = await shared.admit(
        msgspec.structs.replace(an_ask(acme, ip=ip, per_ip=3), address_counted_at=counted_at)
    )
    assert refused.tier == "rate"
    assert [(await ask(shared, caller(), ip=ip, per_ip=3)).tier for _ in range(3)] == ["", "", "ip"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:{0}::1", "2001:db8:{0}:0:ffff::9"),  # a household's /64
        ("::ffff:198.51.{1}.7", "198.51.{1}.7"),  # IPv4 in an IPv6 socket
        ("64:ff9b::c633:{2}07", "198.51.{1}.7"),  # NAT64
        ("2002:c633:{2}07:1::5", "2002:c633:{2}07:9::1"),  # 6to4: a /48 from one IPv4 address
        ("fe80::{0}%eth0", "fe80::{0}%eth1"),
    ],
)
async def test_one_client_is_one_address(shared: SharedAdmission, one: str, other: str) -> None:
    n = next(_addresses) + 16
    first, second = (text.format(f"{n:x}", n, f"{n:02x}") for text in (one, other))
    acme = caller()
    assert (await ask(shared, acme, ip=first, per_ip=1)).tier == ""
    assert (await ask(shared, acme, ip=second, per_ip=1)).tier == "ip"
    assert (await ask(shared, acme, ip="2001:db8:ffff:ffff::1", per_ip=100)).tier == ""


# All together -----------------------------------------------------------------------------------
async def test_a_tenants_refusal_does_not_touch_another_tenant(shared: SharedAdmission) -> None:
    acme, globex = caller(per_minute=1, burst=1), caller(per_minute=1, burst=1)
    await ask(shared, acme)
    assert (await ask(shared, acme)).tier == "rate"
    assert (await ask(shared, globex)).tier == ""


async def test_a_refusal_costs_nothing_at_the_other_tiers(
    shared: SharedAdmission, link: RedisLink
) -> None:
    ip, ci = an_ip(), caller(60, 2, 1, 1000, key=Limits(60, 2, 1000, 5))
    assert (await ask(shared, ci, ip=ip, per_ip=2, tokens=100)).tier == ""
    for _ in range(5):  # refused for want of a place: no token, no count of the address
        assert (await ask(shared, ci, ip=ip, per_ip=2, tokens=100)).tier == "concurrency"
    await link.call("DEL", concurrency_key(str(ci.tenant_id)))
    found = await ask(shared, ci, ip=ip, per_ip=2, tokens=100)
    assert found.tier == ""
    assert found.tokens
    assert 800 <= found.tokens.remaining <= 805
    for _ in range(5):  # refused by the address
        assert (await ask(shared, ci, ip=ip, per_ip=2)).tier == "ip"
    assert await link.call("ZCARD", concurrency_key(str(ci.tenant_id))) == 1


async def test_a_second_limit_does_not_change_the_first(shared: SharedAdmission) -> None:
    """Both are counted apart: a limit of tokens takes no requests away."""
    plain, both = caller(6, 5), caller(6, 5, 100, 1_000_000, key=Limits(600, 600, 900_000, 90))
    for who in (plain, both):
        answers = [await ask(shared, who, tokens=100, ip=an_ip(), per_ip=50) for _ in range(7)]
        assert [answer.tier for answer in answers] == [""] * 5 + ["rate"] * 2


async def test_a_limit_that_is_set_later_begins_full(shared: SharedAdmission) -> None:
    """And the one there was goes on."""
    acme = caller(per_minute=6, burst=3)
    await ask(shared, acme)
    with_tokens = replace(acme, limits=Limits(6, 3, 100))
    answers = [await ask(shared, with_tokens, tokens=50) for _ in range(3)]
    assert [answer.tier for answer in answers] == ["", "", "tokens"]
    other_way = caller(tokens=100)
    await ask(shared, other_way, tokens=100)
    both = replace(other_way, limits=Limits(6, 2, 100))
    assert [(await ask(shared, both)).tier for _ in range(3)] == ["", "", "rate"]


async def test_undone_it_is_as_if_it_had_never_come(
    shared: SharedAdmission, link: RedisLink
) -> None:
    ip, ci = an_ip(), caller(6, 1, 1, 500, key=Limits(6, 1, 500, 1))
    for _ in range(3):
        asked = an_ask(ci, ip=ip, per_ip=1, tokens=500)
        admission, counted_at = await shared.admit(asked)
        assert admission.tier == ""
        assert await undo(link, asked, counted_at)
        assert not await undo(link, asked, counted_at)
    assert (await ask(shared, ci, ip=ip, per_ip=1, tokens=500)).tier == ""
    assert (await ask(shared, ci, ip=ip, per_ip=1, tokens=500)).tier != ""


async def test_the_time_told_is_that_of_the_tier_that_stays_closed_longest(
    shared: SharedAdmission,
) -> None:
    who = caller(per_minute=600, burst=1, tokens=600)
    await ask(shared, who, tokens=600)
    refused = await ask(shared, who, tokens=60)
    assert refused.tier == "tokens"  # the bucket of requests frees within 0.1 s
    assert 5_500 < refused.frees_in_ms <= 6_000


@pytest.mark.alone  # 400 at once, each with its patience
async def test_many_web_processes_admit_exactly_the_bound(new_link: NewLink) -> None:
    each = [SharedAdmission(new_link(), nothing) for _ in range(8)]

    async def patiently(n: int, who: Caller, **asked: object) -> Admission:
        while True:
            with suppress(RedisGone):  # it came too late on a busy machine, and was not charged
                return await ask(each[n % 8], who, **asked)

    async def rush(who: Caller, **asked: object) -> int:
        answers = await asyncio.gather(*[patiently(n, who, **asked) for n in range(400)])
        return sum(not answer.tier for answer in answers)

    assert await rush(caller(per_minute=6, burst=40)) == 40
    assert await rush(caller(at_once=25)) == 25
    assert await rush(caller(key=Limits(6, 40))) == 40
    assert await rush(caller(key=Limits(max_concurrency=25))) == 25
    assert await rush(caller(tokens=600), tokens=30) == 20
    assert await rush(caller(), ip=an_ip(), per_ip=30) == 30


async def test_without_redis_it_does_not_decide(new_link: NewLink) -> None:
    shared = SharedAdmission(new_link("redis://127.0.0.1:1"), nothing)
    with pytest.raises(RedisGone):
        await ask(shared, caller())


async def test_what_it_keeps_in_redis_expires(shared: SharedAdmission, link: RedisLink) -> None:
    ip, ci = an_ip(), caller(60, 10, 5, 100, key=Limits(60, 10, 100, 5, 1))
    asked = an_ask(ci, ip=ip, per_ip=10, tokens=50, size=100_000)
    await shared.admit(asked)
    kept = [key for key in asked.keys[1:] if await link.call("EXISTS", key)]
    assert len(kept) == 5
    for key in [*kept, f"{concurrency_key(asked.key)}:bytes"]:
        assert 0 < await link.call("PTTL", key) <= 60_000 + 60_000 + 1_000


def test_the_suite_talks_to_a_real_redis() -> None:
    assert settings.REDIS_URL.startswith("redis")
