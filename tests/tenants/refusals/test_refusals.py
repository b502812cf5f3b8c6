"""A refusal has an id at once, and soon a row and an event; a flood has few of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from tenants.models import ApiKey, LedgerEntry, Quota, QuotaCounter, Tenant
from tenants.models.refusal import Refusal
from tenants.rate_limits.admission import Admission
from tenants.refusals import recorder as module
from tenants.refusals.explanation import explain
from tenants.refusals.recorder import RefusalRecorder, RefusedCall, uuid_of
from tests.audit.weak_line import WeakLine, through, weak_line_to_database

RATE = Admission("rate", limit=100, used=200, frees_in_ms=600)
in_database = database_sync_to_async


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


@pytest.fixture
async def refusals(
    dsn: str, database: WeakLine, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RefusalRecorder]:
    monkeypatch.setattr(module, "EVERY_S", 3600)  # the test says when
    refusals = RefusalRecorder(through(database, dsn))
    yield refusals
    await refusals.close()


def by(tenant: Tenant | UUID | None, actor: str = "key:1", **more: Any) -> RefusedCall:
    return RefusedCall(tenant.id if isinstance(tenant, Tenant) else tenant, actor, "/v1/x", **more)


async def rows() -> list[Refusal]:
    return await in_database(lambda: list(Refusal.objects.order_by("actor")))()


async def events(action: Action = Action.REQUEST_REFUSED) -> list[Event]:
    return await in_database(lambda: list(Event.objects.filter(action=action).order_by("id")))()


async def test_many_of_a_kind_are_one_row_and_one_event(
    refusals: RefusalRecorder, acme: Tenant
) -> None:
    ids = {refusals.note(by(acme, client_net="192.0.2.0"), RATE) for _ in range(50)}
    assert len(ids) == 1
    (refusal_id,) = ids
    assert await rows() == []
    await refusals.flush()
    (row,) = await rows()
    assert (row.public_id, row.id) == (refusal_id, uuid_of(refusal_id))
    assert (row.tenant_id, row.actor, row.tier, row.count) == (acme.id, "key:1", "rate", 50)
    assert (row.limit, row.used, row.route) == (100, 200, "/v1/x")
    assert timedelta(0) < row.frees_at - row.last_at <= timedelta(seconds=1)
    (event,) = await events()
    assert (event.tenant_id, event.actor, event.success, event.status) == (
        acme.id,
        "key:1",
        False,
        429,
    )
    assert event.detail == {
        "count": 50,
        "refusal": refusal_id,
        "tier": "rate",
        "limit": 100,
        "used": 200,
    }


async def test_the_next_second_adds_to_the_row_and_has_its_own_event(
    refusals: RefusalRecorder, acme: Tenant
) -> None:
    for n in (3, 4):
        for _ in range(n):
            refusals.note(by(acme), RATE)
        await refusals.flush()
    assert [row.count for row in await rows()] == [7]
    assert [event.detail["count"] for event in await events()] == [3, 4]
    await refusals.flush()  # nothing new
    assert len(await events()) == 2


async def test_two_processes_speak_of_the_same_refusal(
    refusals: RefusalRecorder, acme: Tenant, dsn: str
) -> None:
    other = RefusalRecorder(dsn)
    ids = {each.note(by(acme), RATE) for each in (refusals, other)}
    await asyncio.gather(refusals.flush(), other.flush())
    assert len(ids) == 1
    assert [row.count for row in await rows()] == [2]
    await other.close()


async def test_what_differs_has_an_id_of_its_own(
    refusals: RefusalRecorder, acme: Tenant, globex: Tenant
) -> None:
    quota = Admission("quota", limit=5, used=5, frees_in_ms=1000, counter=uuid4())
    ids = {
        refusals.note(by(acme), RATE),
        refusals.note(by(globex), RATE),
        refusals.note(by(acme, "key:2"), RATE),
        refusals.note(by(acme), quota),
        refusals.note(by(None, "unknown", client_net="192.0.2.0"), RATE),
        refusals.note(by(None, "unknown", client_net="198.51.100.0"), RATE),
    }
    assert len(ids) == 6
    await refusals.flush()
    assert len(await rows()) == 4  # those whose tenant is known
    assert len(await events()) == 6


async def test_a_flood_of_different_callers_is_summed_up(
    refusals: RefusalRecorder, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 20)
    for n in range(1000):
        assert refusals.note(by(acme, f"key:{n}"), RATE).startswith("ref_")
    await refusals.flush()
    assert len(await rows()) == 20
    found = await events()
    assert len(found) == 21
    assert found[-1].detail == {"count": 980, "callers": "others"}


async def test_keys_that_open_nothing_are_put_on_record(
    refusals: RefusalRecorder, acme: Tenant
) -> None:
    for _ in range(5):
        refusals.denied(by(None, "unknown", client_net="192.0.2.0"), 401, "invalid_api_key")
    refusals.denied(by(acme), 403, "insufficient_scope")
    await refusals.flush()
    unknown, known = await events(Action.ACCESS_DENIED)
    assert (unknown.detail, unknown.status, unknown.error_code, str(unknown.client_net)) == (
        {"count": 5},
        401,
        "invalid_api_key",
        "192.0.2.0",
    )
    assert (known.tenant_id, known.actor, known.status) == (acme.id, "key:1", 403)
    assert await rows() == []


async def test_while_the_database_is_away_they_wait(
    refusals: RefusalRecorder, acme: Tenant, database: WeakLine
) -> None:
    refusals.note(by(acme), RATE)
    await database.down()
    for _ in range(3):
        await refusals.flush()
        refusals.note(by(acme), RATE)
    await database.up()
    await refusals.flush()
    assert [row.count for row in await rows()] == [4]
    assert sum(event.detail["count"] for event in await events()) == 4


async def test_what_was_written_though_no_answer_came_is_not_written_twice(
    refusals: RefusalRecorder, acme: Tenant, database: WeakLine
) -> None:
    refusals.note(by(acme), RATE)
    await refusals.flush()
    refusals.note(by(acme), RATE)
    database.deaf = True
    writing = asyncio.create_task(refusals.flush())
    async with asyncio.timeout(3):
        while (await rows())[0].count < 2:
            await asyncio.sleep(0.02)
    await database.down()
    await writing
    database.deaf = False
    await database.up()
    await refusals.flush()
    assert [row.count for row in await rows()] == [2]
    assert len(await events()) == 2


async def test_closing_writes_the_rest(dsn: str, acme: Tenant) -> None:
    refusals = RefusalRecorder(dsn)
    refusals.note(by(acme), RATE)
    await refusals.close()
    assert len(await rows()) == 1


async def test_a_tenant_that_is_gone_takes_nobody_down(
    refusals: RefusalRecorder, acme: Tenant
) -> None:
    refusals.note(by(uuid4()), RATE)
    refusals.note(by(acme, "\x00"), RATE)  # no text for PostgreSQL
    refusals.note(by(acme), RATE)
    await refusals.flush()
    assert [row.actor for row in await rows()] == ["key:1"]


def test_an_id_that_cannot_be_one() -> None:
    assert uuid_of("ref_rubbish") is None


# Explained --------------------------------------------------------------------------------------
def refused(acme: Tenant, tier: str = "rate", **fields: Any) -> Refusal:
    now = timezone.now()
    plain: dict[str, Any] = {
        "actor": "key:1",
        "limit": 100,
        "used": 200,
        "minute": now,
        "first_at": now,
        "last_at": now,
        "frees_at": now + timedelta(seconds=30),
    }
    return Refusal.objects.create(tenant=acme, tier=tier, **{**plain, **fields})


def came_in(
    tenant: Tenant,
    key: ApiKey | None,
    *,
    tokens: int = 10,
    ago_s: float = 5,
    ended: tuple[str, int] = ("", 0),
) -> None:
    """`ended`: settled or released, and with how many tokens."""
    at = timezone.now() - timedelta(seconds=ago_s)
    entry: dict[str, Any] = {
        "at": at,
        "counts_at": at,
        "tenant": tenant,
        "request_id": uuid4(),
        "api_key_id": key and key.id,
        "model": "mock",
    }
    LedgerEntry.objects.create(**entry, kind="reserve", tokens=tokens)
    if ended[0]:
        LedgerEntry.objects.create(**entry, kind=ended[0], tokens=ended[1])


def test_it_tells_who_used_the_limit(acme: Tenant, globex: Tenant) -> None:
    ci, web = (ApiKey.issue(acme, name, by="test")[0] for name in ("ci", "web"))
    stranger, _ = ApiKey.issue(globex, "stranger", by="test")
    for key, times in ((web, 3), (ci, 5)):
        for _n in range(times):
            came_in(acme, key)
    came_in(globex, stranger)
    came_in(acme, web, ago_s=300)  # long before
    found = explain(refused(acme))
    assert [(share.name, share.requests, share.tokens) for share in found.used_by] == [
        ("ci", 5, 50),
        ("web", 3, 30),
    ]
    assert (found.tier, found.counter, found.limit, found.used) == ("rate", "acme", 100, 200)
    assert found.still_refusing
    found = explain(refused(acme, "key_rate", actor=web.actor))
    assert [share.name for share in found.used_by] == ["web"]
    assert found.counter == "web"


def test_a_caller_that_has_been_erased_has_no_name(acme: Tenant) -> None:
    ci, _ = ApiKey.issue(acme, "ci", by="test")
    came_in(acme, ci)
    came_in(acme, None)  # the rest of a job of theirs
    explanation = explain(refused(acme, "key_rate", actor="erased"))
    assert (explanation.counter, explanation.used_by) == ("erased", ())
    assert [share.name for share in explain(refused(acme)).used_by] == ["ci"]


def test_of_bytes_it_tells_who_sent_much_over_a_day(acme: Tenant) -> None:
    ci, web = (ApiKey.issue(acme, name, by="test")[0] for name in ("ci", "web"))
    for _n in range(3):
        came_in(acme, web)
    came_in(acme, ci, tokens=5000, ago_s=23 * 3600)
    found = explain(refused(acme, "stored", limit=10_000_000_000, used=10_000_000_000))
    assert [(share.name, share.requests) for share in found.used_by] == [("ci", 1), ("web", 3)]
    assert (found.counter, found.advice) == ("acme", found.advice)
    found = explain(refused(acme, "key_bytes", actor=web.actor))
    assert [share.name for share in found.used_by] == ["web"]


def test_what_has_freed_meanwhile_is_told(acme: Tenant) -> None:
    past = timezone.now() - timedelta(seconds=1)
    assert not explain(refused(acme, frees_at=past)).still_refusing
    found = explain(refused(acme, "ip", client_net="192.0.2.0"))
    assert found.counter == "192.0.2.0"
    assert found.still_refusing


def test_a_quota_counts_from_the_beginning_of_its_window(acme: Tenant) -> None:
    key, _ = ApiKey.issue(acme, "ci", by="test")
    quota = Quota.objects.create(tenant=acme, api_key=key, unit="tokens", window="day", limit=100)
    now = timezone.now()
    counter = QuotaCounter.objects.create(
        tenant=acme,
        quota=quota,
        starts=now - timedelta(hours=5),
        ends=now + timedelta(hours=19),
        used=100,
    )
    came_in(acme, key, tokens=100, ago_s=3600)
    found = explain(refused(acme, "quota", quota_id=quota.id, frees_at=counter.ends))
    assert (found.since, found.still_refusing) == (counter.starts, True)
    assert [(share.name, share.tokens) for share in found.used_by] == [("ci", 100)]
    counter.used = 20  # given back
    counter.save()
    assert not explain(
        refused(acme, "quota", quota_id=quota.id, frees_at=counter.ends)
    ).still_refusing


def test_a_rotated_keys_quota_was_used_by_both(acme: Tenant) -> None:
    key, _ = ApiKey.issue(acme, "ci", by="test")
    quota = Quota.objects.create(tenant=acme, api_key=key, unit="tokens", window="day", limit=100)
    came_in(acme, key, tokens=70)
    fresh, _ = key.rotate(by="test", overlap=timedelta(hours=1))
    came_in(acme, fresh, tokens=30)
    came_in(acme, ApiKey.issue(acme, "web", by="test")[0])
    shares = explain(refused(acme, "quota", quota_id=quota.id)).used_by
    assert [(share.actor, share.tokens) for share in shares] == [(key.actor, 70), (fresh.actor, 30)]


def test_a_request_larger_than_the_rest_of_a_quota_is_still_refused(acme: Tenant) -> None:
    """Of 700 tokens 76 were used, and more than the others were asked for."""
    quota = Quota.objects.create(tenant=acme, unit="tokens", window="day", limit=700)
    now = timezone.now()
    counter = QuotaCounter.objects.create(
        tenant=acme,
        quota=quota,
        starts=now - timedelta(hours=5),
        ends=now + timedelta(hours=19),
        used=76,
    )
    figures = {"limit": 700, "used": 76, "quota_id": quota.id, "frees_at": counter.ends}
    refusal = refused(acme, "quota", **figures)
    explanation = explain(refusal)
    assert explanation.still_refusing
    assert "max_tokens" in str(explanation.advice)
    quota.limit = 2_000
    quota.save()
    assert not explain(refusal).still_refusing
    quota.delete()
    assert not explain(refusal).still_refusing


def test_a_quota_counts_what_was_used_and_not_what_was_given_back(acme: Tenant) -> None:
    key, _ = ApiKey.issue(acme, "ci", by="test")
    quota = Quota.objects.create(tenant=acme, api_key=key, unit="requests", window="day", limit=3)
    for ended in (("settle", 7), ("settle", 4), ("release", 0), ("", 0)):
        came_in(acme, key, tokens=100, ended=ended)
    explanation = explain(refused(acme, "quota", quota_id=quota.id, limit=3, used=3))
    assert [(share.requests, share.tokens) for share in explanation.used_by] == [(3, 111)]


async def test_one_noted_from_a_thread_has_the_same_id(
    refusals: RefusalRecorder, acme: Tenant
) -> None:
    from_afar = await asyncio.to_thread(refusals.note_from_thread, by(acme), RATE)
    assert from_afar == refusals.note(by(acme), RATE)
    await refusals.flush()
    (row,) = await rows()
    assert (row.public_id, row.count) == (from_afar, 2)
