"""Master key -> tenant key -> subject key: made once, agreed on by all, gone when destroyed."""

import threading
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from pytest_django.fixtures import Settings

from audit import keyring as module
from audit.keyring import Keyring, Sealer, Unreadable
from audit.models import DataKey

PLACE = b"audit_payload|somewhere"
acme, globex = uuid4(), uuid4()


@pytest.mark.django_db(transaction=True)
def test_a_subject_has_one_key_under_its_tenants() -> None:
    alice, bob = uuid4(), uuid4()
    ring = Keyring()
    first, again, other = (ring.of_subject_now(acme, who) for who in (alice, alice, bob))
    assert first is again
    assert first.key_id != other.key_id
    owners = set(DataKey.objects.filter(tenant_id=acme).values_list("subject_id", flat=True))
    assert owners == {None, alice, bob}


@pytest.mark.django_db
def test_the_same_person_has_another_key_in_another_tenant() -> None:
    alice, ring = uuid4(), Keyring()
    here, there = ring.of_subject_now(acme, alice), ring.of_subject_now(globex, alice)
    assert here.key_id != there.key_id
    with pytest.raises(Unreadable):
        there.open(here.seal(b"secret", PLACE), PLACE)


@pytest.mark.django_db
def test_another_process_opens_what_this_one_sealed() -> None:
    alice = uuid4()
    sealed = Keyring().of_subject_now(acme, alice).seal(b"a prompt", PLACE)
    elsewhere = Keyring()
    assert elsewhere.of_subject_now(acme, alice).open(sealed, PLACE) == b"a prompt"
    key_id = DataKey.objects.get(tenant_id=acme, subject_id=alice).id
    assert Keyring().by_id_now(key_id).open(sealed, PLACE) == b"a prompt"


@pytest.mark.django_db
def test_neither_the_text_nor_a_bare_key_stands_in_the_database() -> None:
    alice = uuid4()
    ring = Keyring()
    sealer = ring.of_subject_now(acme, alice)
    row = DataKey.objects.get(pk=sealer.key_id)
    assert len(bytes(row.wrapped)) == 12 + 32 + 16  # nonce, the wrapped key, tag
    with pytest.raises(Unreadable):
        sealer.open(bytes(row.wrapped), PLACE)


@pytest.mark.django_db
def test_a_wrapped_key_moved_to_another_row_does_not_open() -> None:
    alice, mallory = uuid4(), uuid4()
    stolen = Keyring().of_subject_now(acme, alice)
    theirs = Keyring().of_subject_now(acme, mallory)
    wrapped = DataKey.objects.get(pk=stolen.key_id).wrapped
    DataKey.objects.filter(pk=theirs.key_id).update(wrapped=wrapped)
    with pytest.raises(Unreadable):
        Keyring().of_subject_now(acme, mallory)


@pytest.mark.django_db
def test_a_key_row_given_to_another_tenant_does_not_open() -> None:
    alice = uuid4()
    key_id = Keyring().of_subject_now(acme, alice).key_id
    DataKey.objects.filter(pk=key_id).update(tenant_id=globex)
    with pytest.raises(Unreadable):
        Keyring().by_id_now(key_id)


@pytest.mark.django_db(transaction=True)
def test_a_destroyed_key_is_unreadable_once_forgotten() -> None:
    alice, bob, ring = uuid4(), uuid4(), Keyring()
    hers, his = ring.of_subject_now(acme, alice), ring.of_subject_now(acme, bob)
    sealed = hers.seal(b"a prompt", PLACE)
    DataKey.objects.filter(pk=hers.key_id).delete()
    ring.forget(hers.key_id)
    with pytest.raises(Unreadable):
        ring.by_id_now(hers.key_id)
    with pytest.raises(Unreadable):
        ring.of_subject_now(acme, alice).open(sealed, PLACE)  # a new key, which does not fit
    assert ring.of_subject_now(acme, bob) is his


@pytest.mark.django_db
def test_without_the_tenants_key_no_subject_opens() -> None:
    alice = uuid4()
    key_id = Keyring().of_subject_now(acme, alice).key_id
    DataKey.objects.filter(tenant_id=acme, subject_id=None).delete()
    with pytest.raises(Unreadable):
        Keyring().by_id_now(key_id)


@pytest.mark.django_db
def test_the_wrong_master_key_opens_nothing(settings: Settings) -> None:
    alice = uuid4()
    key_id = Keyring().of_subject_now(acme, alice).key_id
    settings.MASTER_KEY = bytes(32)
    stranger = Keyring()
    with pytest.raises(Unreadable):
        stranger.by_id_now(key_id)
    for who in (alice, uuid4()):
        with pytest.raises(Unreadable):
            stranger.of_subject_now(acme, who)


@pytest.mark.django_db
def test_the_ring_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED_KEYS", 4)
    ring, people = Keyring(), [uuid4() for _ in range(10)]
    keys = {who: ring.of_subject_now(acme, who).key_id for who in people}
    assert len(ring._of) <= 5
    assert len(ring._by_id) <= 5
    assert {who: ring.of_subject_now(acme, who).key_id for who in people} == keys


@pytest.mark.django_db(transaction=True)
def test_processes_that_make_a_subjects_key_at_once_agree() -> None:
    """Threads with a ring each share as little as processes do: only the database."""
    tenant, people = uuid4(), [uuid4() for _ in range(3)]
    together, found = threading.Barrier(6), list[dict[UUID, Sealer]]()

    def process() -> None:
        try:
            ring = Keyring()
            together.wait(10)
            found.append({who: ring.of_subject_now(tenant, who) for who in people})
        finally:
            connection.close()

    threads = [threading.Thread(target=process) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 6
    for who in people:
        sealed = found[0][who].seal(b"agreed", PLACE)
        assert {keys[who].open(sealed, PLACE) for keys in found} == {b"agreed"}
    assert DataKey.objects.filter(tenant_id=tenant).count() == 4


@pytest.mark.django_db(transaction=True)
async def test_in_a_loop_it_asks_the_database_once() -> None:
    alice, ring = uuid4(), Keyring()
    sealer = await ring.of_subject(acme, alice)
    assert await ring.of_subject(acme, alice) is sealer
    assert await ring.by_id(sealer.key_id) is sealer
    assert (await Keyring().by_id(sealer.key_id)).key_id == sealer.key_id
    with pytest.raises(Unreadable):
        await ring.by_id(uuid4())


@pytest.mark.django_db(transaction=True)
def test_a_key_that_was_rolled_back_is_not_remembered() -> None:
    """Else texts would be sealed with a key that is nowhere else."""
    alice, ring = uuid4(), Keyring()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        lost = ring.of_subject_now(acme, alice)
        raise ZeroDivisionError
    kept = ring.of_subject_now(acme, alice)
    assert kept.key_id != lost.key_id
    assert DataKey.objects.filter(pk=kept.key_id).exists()
