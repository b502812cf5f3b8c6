"""Whom a decision is about: under whose key its texts are, and what follows a restriction."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from audit.keys import keyring as keys
from audit.keys import rotation
from audit.keys.keyring import keyring
from audit.models import DataKey, Tombstone
from audit.trail.group_commit import GroupCommit
from inference.api.decision_flow import people as module
from inference.api.decision_flow.people import People, Subject
from inference.errors import BadRequest, Conflict
from inference.intake.errors import OutOfService
from inference.models import Completion, Decision, DecisionPolicy
from inference.personal_data import decisions
from infrastructure.postgres.lookups import Lookups
from tenants.models import Person, Tenant
from tenants.models.people.newcomer import STORE
from tenants.scope import tenant_scope
from tests.inference.api.decisions.asking import PATH, decide, decided

in_database = database_sync_to_async


async def test_of_a_restricted_person_nothing_is_decided(
    policy: DecisionPolicy, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise keys.Barred("restricted")

    monkeypatch.setattr(keys, "refuse_if_barred", refuse)
    answer = await decide(client, person="restricted-1")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (409, "restricted", "person")
    assert not await in_database(Decision.objects.exists)()
    assert not await in_database(Completion.objects.exists)()


async def test_an_erasure_takes_the_person_and_the_texts_and_leaves_figures(
    policy: DecisionPolicy, client: httpx.AsyncClient, acme: Tenant
) -> None:
    decision = await decided(client, key="tx-1")

    def erase() -> Decision:
        person = Decision.objects.get().person_id
        assert person
        assert decisions.remaining(acme.pk, person) == 1
        assert decisions.erase(acme.pk, person)["decisions"] == 1
        assert decisions.remaining(acme.pk, person) == 0
        return Decision.objects.get()

    row = await in_database(erase)()
    assert row.score == decision["score"]
    shown = (await client.get(f"{PATH}/{decision['id']}")).json()
    assert (shown["input"], shown["outcome"]) == (None, "review")
    assert "reasons" not in shown


@pytest.fixture
def dsn(transactional_db: None) -> str:
    name = connection.settings_dict["NAME"]
    return make_conninfo(settings.DATABASE_URL, dbname=name, **settings.SEES_ALL)


@pytest.fixture
async def lookups(dsn: str) -> AsyncIterator[Lookups]:
    lookups = Lookups(dsn)
    yield lookups
    await lookups.close()


@pytest.fixture
async def newcomers(dsn: str) -> AsyncIterator[GroupCommit]:
    newcomers = GroupCommit(dsn, STORE, patience_s=5)
    yield newcomers
    await newcomers.close()


class Threads:
    """Counts the look-ups in a thread, which cost ten times as much."""

    def __init__(self, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read, self.count = people._read, 0
        monkeypatch.setattr(people, "_read", self.counted)

    async def counted(self, *arguments: Any) -> Subject:
        self.count += 1
        return await self.read(*arguments)


async def test_a_known_person_costs_no_query(
    acme: Tenant, lookups: Lookups, newcomers: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People()
    first = await people.of(lookups, newcomers, acme.pk, "customer-9")

    def known() -> Person | None:
        with tenant_scope(acme.pk):
            return Person.objects.known(acme.pk, "customer-9")

    person = await in_database(known)()
    assert person
    assert first.id == person.pk
    threads = Threads(people, monkeypatch)
    monkeypatch.setattr(Lookups, "ask", fails)
    assert await people.of(lookups, newcomers, acme.pk, "customer-9") == first
    assert threads.count == 0
    keyring.forget(first.cipher.key_id)  # as after an erasure
    with pytest.raises(AssertionError):
        await people.of(lookups, newcomers, acme.pk, "customer-9")


async def fails(*_: Any) -> Any:
    raise AssertionError("asked again")


async def test_a_person_who_is_stored_costs_one_small_query(
    acme: Tenant,
    globex: Tenant,
    lookups: Lookups,
    newcomers: GroupCommit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = await People().of(lookups, newcomers, acme.pk, "customer-9")
    keyring.forget(first.cipher.key_id)  # so that a process looks as one that has just begun
    people = People()
    threads = Threads(people, monkeypatch)
    again = await people.of(lookups, newcomers, acme.pk, " customer-9 ")
    assert (again.id, again.cipher.key_id) == (first.id, first.cipher.key_id)
    text = first.cipher.encrypt(b"a payment", b"here")
    assert again.cipher.decrypt(text, b"here") == b"a payment"
    assert keyring.cached(acme.pk, first.id) == again.cipher
    assert threads.count == 0
    stranger = await people.of(lookups, newcomers, globex.pk, "customer-9")
    assert stranger.id != first.id
    # Their digests differ by the tenants' secrets; the query looks at the tenant all the same.
    digest = await in_database(lambda: Person.objects.get(pk=first.id).digest)()
    await in_database(Person.objects.filter(pk=stranger.id).update)(digest=digest)
    here = await lookups.ask(module._STORED, (acme.pk, bytes(digest)))
    there = await lookups.ask(module._STORED, (globex.pk, bytes(digest)))
    assert (here[0], there[0]) == (first.id, stranger.id)
    with pytest.raises(BadRequest):
        await people.of(lookups, newcomers, acme.pk, "")


async def test_a_stored_person_who_is_barred_is_refused(
    acme: Tenant, lookups: Lookups, newcomers: GroupCommit
) -> None:
    person = await People().of(lookups, newcomers, acme.pk, "customer-9")
    keyring.forget(person.cipher.key_id)

    def bar() -> None:
        ids = {"tenant_id": acme.pk, "subject_id": person.id, "request_id": uuid4()}
        Tombstone.objects.create(**ids, at=timezone.now(), signature=b"s")

    await in_database(bar)()
    with pytest.raises(Conflict):
        await People().of(lookups, newcomers, acme.pk, "customer-9")
    assert keyring.cached(acme.pk, person.id) is None


async def test_a_new_person_costs_no_thread_once_the_tenants_key_is_known(
    acme: Tenant, lookups: Lookups, newcomers: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People()
    threads = Threads(people, monkeypatch)
    await people.of(lookups, newcomers, acme.pk, "customer-1")
    assert threads.count == 1
    second = await people.of(lookups, newcomers, acme.pk, " customer-2 ")
    assert threads.count == 1
    assert keyring.cached(acme.pk, second.id) == second.cipher
    text = second.cipher.encrypt(b"a payment", b"here")
    keyring.forget(second.cipher.key_id)  # so that the stored key is read
    again = await People().of(lookups, newcomers, acme.pk, "customer-2")
    assert again.id == second.id
    assert again.cipher.decrypt(text, b"here") == b"a payment"


async def test_of_several_requests_about_a_new_person_one_makes_them(
    acme: Tenant, lookups: Lookups, newcomers: GroupCommit
) -> None:
    await People().of(lookups, newcomers, acme.pk, "customer-1")
    processes = [People() for _ in range(8)]
    subjects = await asyncio.gather(
        *(each.of(lookups, newcomers, acme.pk, "customer-2") for each in processes)
    )
    assert len({(subject.id, subject.cipher.key_id) for subject in subjects}) == 1
    assert await in_database(Person.objects.filter(tenant=acme).count)() == 2
    assert await in_database(DataKey.objects.filter(subject_id=subjects[0].id).count)() == 1


async def test_a_new_persons_key_is_wrapped_by_the_tenants_newest_one(
    acme: Tenant, lookups: Lookups, newcomers: GroupCommit
) -> None:
    await People().of(lookups, newcomers, acme.pk, "customer-1")
    old = keyring._cache.newest_of((acme.pk, None))
    await in_database(partial(rotation.start_tenant, acme.pk, by="operator:1"))()
    assert old
    # As a process does that has not heard of it yet.
    keyring._cache.add(old, (acme.pk, None), keyring._cache.epoch)
    assert keyring._cache.newest_of((acme.pk, None)) == old
    person = await People().of(lookups, newcomers, acme.pk, "customer-2")

    def wrapped_by() -> int:
        key = DataKey.objects.get(subject_id=person.id)
        return DataKey.objects.get(pk=key.wrapped_by).version

    assert await in_database(wrapped_by)() == 2
    assert await in_database(Person.objects.filter(tenant=acme).count)() == 2


async def test_a_key_that_may_be_gone_is_read_again(
    acme: Tenant, lookups: Lookups, newcomers: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People()
    threads = Threads(people, monkeypatch)
    first = await people.of(lookups, newcomers, acme.pk, "customer-1")
    write = newcomers.write

    async def written_while_a_key_is_destroyed(row: dict[str, Any]) -> Any:
        stored = await write(row)
        keyring.forget(first.cipher.key_id)
        return stored

    monkeypatch.setattr(newcomers, "write", written_while_a_key_is_destroyed)
    second = await people.of(lookups, newcomers, acme.pk, "customer-2")
    assert threads.count == 2
    assert second.id == (await in_database(Person.objects.exclude(pk=first.id).get)()).pk


async def test_a_database_that_is_away_is_out_of_service(
    acme: Tenant, lookups: Lookups, newcomers: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    await People().of(lookups, newcomers, acme.pk, "customer-1")
    await newcomers.close()
    away = GroupCommit("host=/nowhere", STORE, patience_s=0.1)
    with pytest.raises(OutOfService):
        await People().of(lookups, away, acme.pk, "customer-2")
    await away.close()
