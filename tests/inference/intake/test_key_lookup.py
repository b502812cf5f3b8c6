"""One look at PostgreSQL tells for all requests that wait whether their keys are new."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from django.utils import timezone
from pytest_django.fixtures import Settings

from inference.api.idempotency import owner_of
from inference.intake.errors import OutOfService
from inference.intake.idempotency_claim import Claim
from inference.intake.key_lookup import KeyLookup
from inference.models import IdempotencyKey
from infrastructure.postgres.resilient_connection import ResilientConnection
from tenants.caller import Caller
from tenants.models import ApiKey, Tenant
from tests.inference.api.stream_readers import issued
from tests.inference.callers import speaking

HOUR = timedelta(hours=1)
in_database = database_sync_to_async
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def lookup(dsn: str) -> AsyncIterator[KeyLookup]:
    lookup = KeyLookup(dsn)
    yield lookup
    await lookup.close()


def claim(key: str = "order-1") -> Claim:
    return Claim.of(key, "/v1/chat/completions", {"messages": []})


@in_database
def use(caller: Caller, owner: UUID, claim: Claim) -> None:
    fields = {"owner": owner, "key": claim.key, "body": claim.body}
    row = {**fields, "completion_id": uuid4(), "created_at": timezone.now()}
    IdempotencyKey.objects.create(tenant_id=caller.tenant_id, **row)


async def test_a_key_is_new_until_it_is_used_in_its_tenant(
    lookup: KeyLookup, acme: Tenant, globex: Tenant
) -> None:
    alice, charlie = [speaking((await issued(tenant))[0]) for tenant in (acme, globex)]
    assert alice.api_key_id
    assert await lookup.new(alice, claim()) == replace(claim(), owner=alice.api_key_id)
    await use(alice, alice.api_key_id, claim())
    assert await lookup.new(alice, claim()) is None
    assert await lookup.new(alice, claim("order-2"))
    assert await lookup.new(charlie, claim())
    await use(charlie, alice.api_key_id, claim("order-2"))  # whoever owns it, in another tenant
    assert await lookup.new(alice, claim("order-2"))


async def test_rotated_keys_have_one_owner(lookup: KeyLookup, acme: Tenant) -> None:
    first, _ = await issued(acme)
    second, _ = await in_database(first.rotate)(by="test", overlap=HOUR)
    third, _ = await in_database(second.rotate)(by="test", overlap=HOUR)
    for key in (first, second, third):
        caller = speaking(await in_database(ApiKey.objects.get)(pk=key.pk))
        new = await lookup.new(caller, claim())
        assert new
        assert new.owner == first.pk == await in_database(owner_of)(caller)
    await use(speaking(first), first.pk, claim())
    assert await lookup.new(speaking(third), claim()) is None


async def test_a_person_without_a_key_owns_theirs(lookup: KeyLookup, acme: Tenant) -> None:
    person = replace(speaking((await issued(acme))[0]), api_key_id=None)
    new = await lookup.new(person, claim())
    assert new
    assert new.owner == person.subject_id


async def test_all_that_wait_are_answered_by_one_query(
    lookup: KeyLookup, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = speaking((await issued(acme))[0])
    assert caller.api_key_id
    await use(caller, caller.api_key_id, claim("order-7"))
    queries, ask = list[object](), ResilientConnection.ask

    async def counted(connection: ResilientConnection, question: object) -> object:
        queries.append(question)
        return await ask(connection, question)  # type: ignore[arg-type]

    monkeypatch.setattr(ResilientConnection, "ask", counted)
    keys = [claim(f"order-{number}") for number in range(50)]
    asked = [asyncio.create_task(lookup.new(caller, key)) for key in keys]
    await asyncio.sleep(0)
    asked[3].cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert len(queries) == 1
    assert isinstance(answers[3], asyncio.CancelledError)
    assert answers[7] is None
    owned = [replace(key, owner=caller.api_key_id) for key in keys]
    assert answers[:3] == owned[:3]
    assert answers[8:] == owned[8:]


async def test_a_database_that_is_away_refuses_and_comes_back(
    lookup: KeyLookup, acme: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FAILOVER_WAIT_S = 0
    caller = speaking((await issued(acme))[0])
    with monkeypatch.context() as patch:
        patch.setattr(lookup._connection, "_dsn", "postgres://127.0.0.1:9/none")
        for _ in range(2):
            with pytest.raises(OutOfService):
                await lookup.new(caller, claim())
    assert await lookup.new(caller, claim())
