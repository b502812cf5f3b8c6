"""People who are no members: found by a digest of their reference, with the rights of members."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Thread
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from audit.actions import Action
from audit.erasure import certificate, deletion, execution, tombstones
from audit.keys import digest_key, rotation
from audit.keys.keyring import Barred, keyring
from audit.models import DataKey, DeletionMode, DeletionState
from audit.retention import legal_hold
from audit.trail.record import act
from inference.models import ActionCall
from inference.personal_data import erasure
from tenants.models import Person, Tenant
from tenants.personal_data import unused_people
from tenants.personal_data.subject import find, find_person
from tests.inference.dialogues.rows import a_dialogue

pytestmark = pytest.mark.django_db
REFERENCE = "customer 4711"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    monkeypatch.setattr(erasure, "WATCH_S", 0)
    tombstones.path().unlink(missing_ok=True)
    yield
    tombstones.path().unlink(missing_ok=True)


def test_a_reference_leads_to_one_person_of_each_tenant(acme: Tenant, globex: Tenant) -> None:
    person = Person.objects.of(acme.id, REFERENCE)
    assert Person.objects.of(acme.id, f" {REFERENCE} ") == person
    assert Person.objects.known(acme.id, REFERENCE) == person
    assert Person.objects.known(acme.id, "customer 4712") is None
    other = Person.objects.of(globex.id, REFERENCE)
    assert other != person
    assert bytes(other.digest) != bytes(person.digest)


def test_accents_count_once_however_they_are_written(acme: Tenant) -> None:
    composed, decomposed = "Ren\u00e9", "Rene\u0301"
    assert Person.objects.of(acme.id, composed) == Person.objects.of(acme.id, decomposed)


@pytest.mark.parametrize("reference", ["", "  ", "x" * 201, "two\nlines", "\x00"])
def test_a_reference_is_short_and_printable(reference: str, acme: Tenant) -> None:
    with pytest.raises(ValidationError, match="1 to 200 printable characters"):
        Person.objects.of(acme.id, reference)
    assert find_person(acme, reference) is None


def test_no_table_has_the_reference(acme: Tenant) -> None:
    Person.objects.of(acme.id, REFERENCE)
    with connection.cursor() as cursor:
        cursor.execute("select tenants_person::text from tenants_person")
        (row,) = cursor.fetchone()
    assert REFERENCE not in row
    assert REFERENCE.encode().hex() not in row


def test_the_digest_outlives_a_rotation_of_the_tenants_key(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person.objects.of(acme.id, REFERENCE)
    assert rotation.advance(rotation.start_tenant(acme.id, by="test"))
    monkeypatch.setattr(digest_key, "_secrets", {})
    assert Person.objects.known(acme.id, REFERENCE) == person


@pytest.mark.django_db(transaction=True)
def test_processes_that_make_a_person_at_a_time_agree(acme: Tenant) -> None:
    people: list[UUID] = []

    def make() -> None:
        people.append(Person.objects.of(acme.id, REFERENCE).id)
        connection.close()

    threads = [Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(people) == 8
    assert {*people} == {Person.objects.get().id}


@pytest.mark.django_db(transaction=True)
def test_an_erasure_takes_the_person_and_their_key_and_certifies_it(acme: Tenant) -> None:
    person = Person.objects.of(acme.id, REFERENCE)
    keyring.of_subject_now(acme.id, person.subject_id)
    request = deletion.ask(acme.id, person.subject_id, by="test", decides=True)
    execution.work()
    request.refresh_from_db()
    assert request.state == DeletionState.DONE
    assert request.certificate
    assert certificate.verifies(request.certificate)
    evidence = {
        store["store"]: store["evidence"] for store in request.certificate["body"]["stores"]
    }
    assert evidence["pseudonym"]["people"] == 1
    assert Person.objects.known(acme.id, REFERENCE) is None
    assert not DataKey.objects.filter(subject_id=person.subject_id).exists()
    again = Person.objects.of(acme.id, REFERENCE)  # a new customer, of whom nothing is known
    assert again.id != person.id
    assert keyring.of_subject_now(acme.id, again.subject_id)


@pytest.mark.django_db(transaction=True)
def test_a_restriction_bars_their_texts_until_it_is_lifted(acme: Tenant) -> None:
    person = Person.objects.of(acme.id, REFERENCE)
    keyring.of_subject_now(acme.id, person.subject_id)
    request = deletion.ask(acme.id, person.subject_id, by="test", decides=True, mode="restrict")
    execution.work()
    with pytest.raises(Barred):
        type(keyring)().of_subject_now(acme.id, person.subject_id)
    request.refresh_from_db()
    deletion.lift(request, by="test", answer="settled")
    assert type(keyring)().of_subject_now(acme.id, person.subject_id)
    assert find(acme, person.id) == person


@pytest.mark.django_db(transaction=True)
def test_a_legal_hold_keeps_them(acme: Tenant) -> None:
    person = Person.objects.of(acme.id, REFERENCE)
    expires_at = timezone.now() + timedelta(days=30)
    legal_hold.request(
        acme.id,
        by="test",
        person="user:1",
        subject_id=person.subject_id,
        reason="a case",
        expires_at=expires_at,
    )
    request = deletion.ask(acme.id, person.subject_id, by="test", decides=True)
    execution.work()
    request.refresh_from_db()
    assert request.state == DeletionState.HELD
    assert Person.objects.known(acme.id, REFERENCE) == person


def test_the_secret_of_the_digests_is_nobodys_to_erase(acme: Tenant) -> None:
    Person.objects.of(acme.id, REFERENCE)
    assert find(acme, digest_key.OWNER) is None


def test_people_without_data_are_found(acme: Tenant) -> None:
    person = Person.objects.of(acme.id, REFERENCE)
    assert list(Person.objects.without_data()) == [person]


# Retention ---------------------------------------------------------------------------------------
def long_ago(tenant: Tenant, reference: str) -> Person:
    """A person with a key, whom nothing has named for two months."""
    person = Person.objects.of(tenant.id, reference)
    keyring.of_subject_now(tenant.id, person.subject_id)
    Person.objects.filter(pk=person.pk).update(created_at=timezone.now() - timedelta(days=60))
    return person


def test_people_whom_nothing_refers_to_are_deleted_with_their_keys(
    acme: Tenant, globex: Tenant
) -> None:
    before = timezone.now() - timedelta(days=30)
    gone, others = long_ago(acme, "a"), long_ago(globex, "a")
    recent = Person.objects.of(acme.id, "b")
    talks = long_ago(acme, "c")
    a_dialogue(acme, "hello", person="c")
    assert sum(kinds["people"] for kinds in unused_people.count(acme.id, before).values()) == 1
    assert unused_people.erase(acme.id, before, frozenset({gone.pk})) == 0, "a hold spares them"
    assert unused_people.erase(acme.id, before, frozenset()) == 1
    assert set(Person.objects.values_list("pk", flat=True)) == {others.pk, recent.pk, talks.pk}
    assert not DataKey.objects.filter(subject_id=gone.pk).exists()
    assert Person.objects.of(acme.id, "a").pk != gone.pk


def test_people_with_a_text_an_event_or_a_request_stay(acme: Tenant) -> None:
    before = timezone.now() - timedelta(days=30)
    called, named, restricted = (long_ago(acme, each) for each in ("a", "b", "c"))
    ActionCall.objects.create(
        tenant=acme,
        action_name="refund",
        revision=1,
        moves_money=True,
        subject_id=called.pk,
        created_by="test",
        state="unknown",
        data_key_id=keyring.of_subject_now(acme.id, called.pk).key_id,
        ciphertext=b"-",
    )
    with transaction.atomic():
        act(Action.PERSON_FIND, actor="test", tenant_id=acme.id, subject_id=named.pk)
    deletion.ask(acme.id, restricted.subject_id, by="test", mode=DeletionMode.RESTRICT)
    assert unused_people.erase(acme.id, before, frozenset()) == 0
    assert Person.objects.count() == 3
