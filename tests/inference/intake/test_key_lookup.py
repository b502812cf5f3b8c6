"""An `Idempotency-Key` is new until a request of its tenant and owner has used it."""

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
from inference.intake.key_lookup import claimed_if_new
from inference.models import IdempotencyKey
from inference.models.idempotency_key import KEPT
from infrastructure.postgres.lookups import Lookups
from tenants.caller import Caller
from tenants.models import ApiKey, Tenant
from tests.inference.api.stream_readers import issued
from tests.inference.callers import speaking

HOUR = timedelta(hours=1)
in_database = database_sync_to_async
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def lookups(dsn: str) -> AsyncIterator[Lookups]:
    lookups = Lookups(dsn)
    yield lookups
    await lookups.close()


def claim(key: str = "order-1") -> Claim:
    return Claim.of(key, "/v1/chat/completions", {"messages": []})


@in_database
def use(caller: Caller, owner: UUID, claim: Claim) -> None:
    fields = {"owner": owner, "key": claim.key, "body": claim.body}
    row = {**fields, "completion_id": uuid4(), "created_at": timezone.now()}
    IdempotencyKey.objects.create(tenant_id=caller.tenant_id, **row)


async def test_a_key_is_new_until_it_is_used_in_its_tenant(
    lookups: Lookups, acme: Tenant, globex: Tenant
) -> None:
    alice, charlie = [speaking((await issued(tenant))[0]) for tenant in (acme, globex)]
    assert alice.api_key_id
    assert await claimed_if_new(lookups, alice, claim()) == replace(claim(), owner=alice.api_key_id)
    await use(alice, alice.api_key_id, claim())
    assert await claimed_if_new(lookups, alice, claim()) is None
    assert await claimed_if_new(lookups, alice, claim("order-2"))
    assert await claimed_if_new(lookups, charlie, claim())
    await use(charlie, alice.api_key_id, claim("order-2"))  # whoever owns it, in another tenant
    assert await claimed_if_new(lookups, alice, claim("order-2"))


async def test_rotated_keys_have_one_owner(lookups: Lookups, acme: Tenant) -> None:
    first, _ = await issued(acme)
    second, _ = await in_database(first.rotate)(by="test", overlap=HOUR)
    third, _ = await in_database(second.rotate)(by="test", overlap=HOUR)
    for key in (first, second, third):
        caller = speaking(await in_database(ApiKey.objects.get)(pk=key.pk))
        new = await claimed_if_new(lookups, caller, claim())
        assert new
        assert new.owner == first.pk == await in_database(owner_of)(caller)
    await use(speaking(first), first.pk, claim())
    assert await claimed_if_new(lookups, speaking(third), claim()) is None


async def test_a_person_without_a_key_owns_theirs(lookups: Lookups, acme: Tenant) -> None:
    person = replace(speaking((await issued(acme))[0]), api_key_id=None)
    new = await claimed_if_new(lookups, person, claim())
    assert new
    assert new.owner == person.subject_id


async def test_persons_and_keys_are_looked_up_together(lookups: Lookups, acme: Tenant) -> None:
    alice = speaking((await issued(acme))[0])
    person = replace(alice, api_key_id=None)
    claims = await asyncio.gather(*(claimed_if_new(lookups, c, claim()) for c in (alice, person)))
    assert [each and each.owner for each in claims] == [alice.api_key_id, person.subject_id]


async def test_an_expired_key_is_left_to_the_long_look_up(lookups: Lookups, acme: Tenant) -> None:
    alice = speaking((await issued(acme))[0])
    assert alice.api_key_id
    await use(alice, alice.api_key_id, claim())
    await in_database(IdempotencyKey.objects.update)(created_at=timezone.now() - 2 * KEPT)
    assert await claimed_if_new(lookups, alice, claim()) is None


async def test_a_database_that_is_away_refuses(
    lookups: Lookups, acme: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FAILOVER_WAIT_S = 0
    caller = speaking((await issued(acme))[0])
    monkeypatch.setattr(lookups._connection, "_dsn", "postgres://127.0.0.1:9/none")
    with pytest.raises(OutOfService):
        await claimed_if_new(lookups, caller, claim())
