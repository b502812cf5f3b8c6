"""Credentials in, a caller out, and what was taken away opens nothing within a second."""

import asyncio
import random
import string
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async as in_database
from django.utils import timezone

from tenants import secret_keys
from tenants.authentication import authenticator as module
from tenants.authentication.authenticator import Authenticator, TenantClosed, UnknownCaller
from tenants.caller import Caller, Limits
from tenants.models import ApiKey, Member, Quota, Tenant, User
from tenants.roles import Role


async def refused_after(ask: Callable[[], Awaitable[Caller]]) -> float:
    """Seconds until asking is refused."""
    began = time.monotonic()
    while time.monotonic() - began < 3:
        try:
            await ask()
        except UnknownCaller:
            return time.monotonic() - began
        await asyncio.sleep(0.02)
    return 99


async def test_a_key_is_known(
    authenticator: Authenticator, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    caller = await authenticator.by_key(key[1])
    assert caller == Caller(
        tenant_id=acme.id,
        tenant="acme",
        actor=f"key:{key[0].id}",
        subject_id=key[0].subject_id,
        weight=1,
        limits=Limits(100, 200, 0, 64, 32, 10_000),
        api_key_id=key[0].id,
        credential=secret_keys.digest(key[1]),
        profile="asvs-5",
        tier="standard",
        scopes=frozenset({"inference"}),
    )


async def test_a_makers_quota_counts_the_makers_keys(
    authenticator: Authenticator, acme: Tenant, alice: Member
) -> None:
    kind: dict[str, Any] = {"unit": "requests", "window": "day", "limit": 1}
    quota = await in_database(Quota.set)(acme, **kind, by="test", member=alice)
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test", created_by=alice)
    _, other = await in_database(ApiKey.issue)(acme, "cd", by="test")
    caller = await authenticator.by_key(text)
    assert (caller.maker_id, caller.member_id) == (alice.id, None)
    assert [ref.id for ref in caller.quotas] == [quota.id]
    assert (await authenticator.by_key(other)).quotas == ()


async def test_a_vip_tenant_weighs_more(authenticator: Authenticator, globex: Tenant) -> None:
    _, text = await in_database(ApiKey.issue)(globex, "ci", by="test")
    assert (await authenticator.by_key(text)).weight == 4


async def test_a_member_is_known(authenticator: Authenticator, alice: Member) -> None:
    caller = await authenticator.by_member(alice.id)
    assert (caller.actor, caller.member_id) == (f"member:{alice.id}", alice.id)
    assert (caller.subject_id, caller.api_key_id) == (alice.subject_id, None)


async def test_wrong_credentials_open_nothing(
    authenticator: Authenticator, key: tuple[ApiKey, str]
) -> None:
    minted = secret_keys.mint().text
    for text in ("", "sk-fb-", "nonsense", key[1][:-1], key[1] + "x", "ключ", minted):
        with pytest.raises(UnknownCaller):
            await authenticator.by_key(text)
    with pytest.raises(UnknownCaller):
        await authenticator.by_member(uuid4())


async def test_an_expired_key_opens_nothing(
    authenticator: Authenticator, key: tuple[ApiKey, str]
) -> None:
    soon = timezone.now() + timedelta(seconds=0.3)
    await in_database(ApiKey.objects.filter(pk=key[0].pk).update)(expires_at=soon)
    await authenticator.by_key(key[1])
    assert await refused_after(lambda: authenticator.by_key(key[1])) < 1.3


@pytest.mark.parametrize(
    "taken_away",
    [
        lambda key, alice: key.revoke(by="test"),
        lambda key, alice: key.delete(),
        lambda key, alice: key.tenant.delete(),
    ],
    ids=["revoked", "deleted", "tenant deleted"],
)
async def test_a_key_that_was_taken_away_is_refused_within_a_second(
    authenticator: Authenticator,
    key: tuple[ApiKey, str],
    alice: Member,
    taken_away: Callable[[ApiKey, Member], Any],
) -> None:
    busy, stop = 0, asyncio.Event()

    async def traffic() -> None:
        nonlocal busy
        while not stop.is_set():
            try:
                await authenticator.by_key(key[1])
                busy += 1
            except UnknownCaller:
                return
            await asyncio.sleep(0.005)

    load = asyncio.gather(*[traffic() for _ in range(5)])
    await asyncio.sleep(0.1)
    await in_database(taken_away)(key[0], alice)
    took = await refused_after(lambda: authenticator.by_key(key[1]))
    stop.set()
    await load
    assert busy
    assert took < 1


@pytest.mark.parametrize(
    "taken_away",
    [
        lambda alice: User.objects.filter(pk=alice.user_id).update(is_active=False),
        lambda alice: alice.remove(by="test"),
    ],
    ids=["inactive", "removed"],
)
async def test_a_member_who_may_no_longer_is_refused_within_a_second(
    authenticator: Authenticator, alice: Member, taken_away: Callable[[Member], Any]
) -> None:
    await authenticator.by_member(alice.id)
    await in_database(taken_away)(alice)
    assert await refused_after(lambda: authenticator.by_member(alice.id)) < 1


async def test_new_limits_hold_within_a_second(
    authenticator: Authenticator, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    await authenticator.by_key(key[1])
    await in_database(Tenant.objects.filter(pk=acme.pk).update)(max_concurrency=3, tier="vip")
    await asyncio.sleep(1)
    caller = await authenticator.by_key(key[1])
    assert (caller.limits.max_concurrency, caller.weight) == (3, 4)


async def test_a_key_is_local_only_within_a_second(
    authenticator: Authenticator, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    assert not (await authenticator.by_key(key[1])).local_only
    await in_database(key[0].change)(by="test", local_only=True)
    await asyncio.sleep(1)
    assert (await authenticator.by_key(key[1])).local_only_by == "key"
    await in_database(acme.change)(by="test", local_only=True)
    await asyncio.sleep(1)
    assert (await authenticator.by_key(key[1])).local_only_by == "tenant"


async def test_a_busy_key_costs_few_looks(
    authenticator: Authenticator, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    ask = authenticator._ask

    async def counted(query: str, credential: Any) -> Caller:
        nonlocal looks
        looks += 1
        return await ask(query, credential)

    monkeypatch.setattr(authenticator, "_ask", counted)
    for _ in range(5):
        await asyncio.gather(*[authenticator.by_key(key[1]) for _ in range(100)])
    assert looks == 1


async def test_one_who_leaves_while_many_wait_takes_nobody_along(
    authenticator: Authenticator, key: tuple[ApiKey, str]
) -> None:
    asked = [asyncio.ensure_future(authenticator.by_key(key[1])) for _ in range(5)]
    await asyncio.sleep(0)
    asked[0].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(caller, Caller) for caller in found[1:])


async def test_it_remembers_no_more_than_it_may(
    authenticator: Authenticator, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHED", 3)
    for n in range(6):
        _, text = await in_database(ApiKey.issue)(acme, f"key {n}", by="test")
        await authenticator.by_key(text)
    assert len(authenticator._known) <= 3


# Keys that nobody ever had -----------------------------------------------------------------------
def mutated(text: str, dice: random.Random) -> str:
    kind, at = dice.randrange(5), dice.randrange(len(text))
    letter = dice.choice(string.ascii_letters + string.digits)
    if kind == 0:
        return text[:at] + letter + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at + 1 :]
    if kind == 2:
        return text[:at] + letter + text[at:]
    if kind == 3:
        other = dice.randrange(len(text))
        letters = list(text)
        letters[at], letters[other] = letters[other], letters[at]
        return "".join(letters)
    return "".join(dice.choice(string.printable) for _ in range(dice.randrange(90)))


async def test_of_ten_thousand_mutated_keys_none_opens_and_none_is_looked_up(
    authenticator: Authenticator, key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, looks = random.Random(20260101), list[Any]()

    async def look(query: str, credential: Any) -> Caller:
        looks.append(credential)
        raise UnknownCaller

    monkeypatch.setattr(authenticator, "_ask", look)
    refused = 0
    while refused < 10_000:
        tried = mutated(key[1], dice)
        if tried != key[1]:
            with pytest.raises(UnknownCaller):
                await authenticator.by_key(tried)
            refused += 1
    assert looks == []


async def test_keys_with_a_right_checksum_open_nothing_either(
    authenticator: Authenticator, key: tuple[ApiKey, str]
) -> None:
    for _ in range(300):
        with pytest.raises(UnknownCaller):
            await authenticator.by_key(secret_keys.mint().text)
    assert (await authenticator.by_key(key[1])).api_key_id == key[0].id


# What changes for those who are inside -----------------------------------------------------------
async def test_both_keys_of_a_rotation_open_until_the_overlap_is_over(
    authenticator: Authenticator, key: tuple[ApiKey, str]
) -> None:
    overlap = timedelta(seconds=1)
    fresh, text = await in_database(key[0].rotate)(by="test", overlap=overlap)
    assert (await authenticator.by_key(text)).api_key_id == fresh.id
    assert (await authenticator.by_key(key[1])).api_key_id == key[0].id
    assert 0.5 < await refused_after(lambda: authenticator.by_key(key[1])) < 2
    assert (await authenticator.by_key(text)).api_key_id == fresh.id


async def test_a_rotated_key_counts_against_its_successors_quotas(
    authenticator: Authenticator, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    def prepared() -> Any:
        quota = Quota.objects.create(
            tenant=acme, api_key=key[0], unit="tokens", window="day", limit=9
        )
        return quota, key[0].rotate(by="test", overlap=timedelta(days=1))

    quota, (_, text) = await in_database(prepared)()
    for tried in (text, key[1]):
        assert [found.id for found in (await authenticator.by_key(tried)).quotas] == [quota.id]


async def test_a_demoted_member_loses_power_within_a_second(
    authenticator: Authenticator, acme: Tenant, alice: Member
) -> None:
    assert (await authenticator.by_member(alice.id)).scopes == {"inference"}
    await in_database(alice.change_role)(Role.AUDITOR, by="test")
    began = time.monotonic()
    while (await authenticator.by_member(alice.id)).scopes:
        await asyncio.sleep(0.02)
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("state", ["suspended", "closing"])
async def test_a_tenant_that_is_not_open_lets_nobody_in(
    authenticator: Authenticator, acme: Tenant, key: tuple[ApiKey, str], alice: Member, state: str
) -> None:
    await asyncio.gather(authenticator.by_key(key[1]), authenticator.by_member(alice.id))
    end = acme.suspend if state == "suspended" else acme.close
    await in_database(end)(by="test", reason="test")
    assert await refused_after(lambda: authenticator.by_key(key[1])) < 1
    assert await refused_after(lambda: authenticator.by_member(alice.id)) < 1
    with pytest.raises(TenantClosed) as closed:
        await authenticator.by_key(key[1])
    assert closed.value.state == state
    if state == "suspended":
        await in_database(acme.resume)(by="test")
        assert (await authenticator.by_key(key[1])).tenant == "acme"


async def test_what_a_key_may_is_told(authenticator: Authenticator, acme: Tenant) -> None:
    settings: dict[str, Any] = {
        "scopes": ["batch"],
        "allowed_models": ["a"],
        "allowed_networks": ["192.0.2.0/24"],
    }
    _, text = await in_database(ApiKey.issue)(acme, "x", by="test", **settings, burst=3)
    caller = await authenticator.by_key(text)
    assert (set(caller.scopes), caller.key_limits.burst) == ({"batch"}, 3)
    assert [caller.may_use(name) for name in ("a", "b")] == [True, False]
    addresses = ["192.0.2.7", "::ffff:192.0.2.7", "192.0.3.7", "2001:db8::1", "", "unix"]
    came = [caller.may_come_from(address) for address in addresses]
    assert came == [True, True, False, False, False, False]
