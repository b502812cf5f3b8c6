"""Master key -> tenant key -> subject key: made once, agreed on by all, gone when destroyed."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction
from pytest_django.fixtures import Settings

from audit.keys import key_cache
from audit.keys import keyring as module
from audit.keys.keyring import Cipher, Keyring, Unreadable, destroy, keyring, wrap
from audit.keys.master_keys import MasterKeys
from audit.keys.master_keys.errors import MasterKeyMissing
from audit.keys.master_keys.local import EnvKeys
from audit.models import DataKey, Event
from config.environment import PROJECT

# One ring is one process.
AAD = b"audit_payload|somewhere"
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
        there.decrypt(here.encrypt(b"secret", AAD), AAD)


@pytest.mark.django_db
def test_another_process_opens_what_this_one_sealed() -> None:
    alice = uuid4()
    ciphertext = Keyring().of_subject_now(acme, alice).encrypt(b"a prompt", AAD)
    elsewhere = Keyring()
    assert elsewhere.of_subject_now(acme, alice).decrypt(ciphertext, AAD) == b"a prompt"
    key_id = DataKey.objects.get(tenant_id=acme, subject_id=alice).id
    assert Keyring().by_id_now(key_id).decrypt(ciphertext, AAD) == b"a prompt"


@pytest.mark.django_db
def test_neither_the_text_nor_a_bare_key_stands_in_the_database() -> None:
    alice = uuid4()
    ring = Keyring()
    cipher = ring.of_subject_now(acme, alice)
    row = DataKey.objects.get(pk=cipher.key_id)
    assert len(bytes(row.wrapped)) == 12 + 32 + 16  # nonce, the wrapped key, tag
    with pytest.raises(Unreadable):
        cipher.decrypt(bytes(row.wrapped), AAD)


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
    ciphertext = hers.encrypt(b"a prompt", AAD)
    DataKey.objects.filter(pk=hers.key_id).delete()
    ring.forget(hers.key_id)
    with pytest.raises(Unreadable):
        ring.by_id_now(hers.key_id)
    with pytest.raises(Unreadable):
        ring.of_subject_now(acme, alice).decrypt(ciphertext, AAD)  # a new key, which does not fit
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
    settings.MASTER_KEYS = MasterKeys(EnvKeys([bytes(32)]))
    stranger = Keyring()
    with pytest.raises(MasterKeyMissing):
        stranger.by_id_now(key_id)
    for who in (alice, uuid4()):
        with pytest.raises(MasterKeyMissing):
            stranger.of_subject_now(acme, who)


@pytest.mark.django_db
def test_the_ring_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED_KEYS", 4)
    ring, people = Keyring(), [uuid4() for _ in range(10)]
    keys = {who: ring.of_subject_now(acme, who).key_id for who in people}
    assert len(ring._cache.newest) <= 4
    assert len(ring._cache.by_id) <= 4
    assert {who: ring.of_subject_now(acme, who).key_id for who in people} == keys


@pytest.mark.django_db(transaction=True)
def test_processes_that_make_a_subjects_key_at_once_agree() -> None:
    """Threads with a ring each share as little as processes do: only the database."""
    tenant, people = uuid4(), [uuid4() for _ in range(3)]
    together, found = threading.Barrier(6), list[dict[UUID, Cipher]]()

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
        ciphertext = found[0][who].encrypt(b"agreed", AAD)
        assert {keys[who].decrypt(ciphertext, AAD) for keys in found} == {b"agreed"}
    assert DataKey.objects.filter(tenant_id=tenant).count() == 4


@pytest.mark.django_db(transaction=True)
async def test_in_a_loop_it_asks_the_database_once() -> None:
    alice, ring = uuid4(), Keyring()
    cipher = await ring.of_subject(acme, alice)
    assert await ring.of_subject(acme, alice) is cipher
    assert await ring.by_id(cipher.key_id) is cipher
    assert (await Keyring().by_id(cipher.key_id)).key_id == cipher.key_id
    with pytest.raises(Unreadable):
        await ring.by_id(uuid4())


@pytest.mark.django_db(transaction=True)
def test_a_key_that_was_rolled_back_is_not_remembered() -> None:
    """Else texts would be encrypted with a key that is nowhere else."""
    alice, ring = uuid4(), Keyring()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        lost = ring.of_subject_now(acme, alice)
        raise ZeroDivisionError
    kept = ring.of_subject_now(acme, alice)
    assert kept.key_id != lost.key_id
    assert DataKey.objects.filter(pk=kept.key_id).exists()


# Destroyed ---------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_destroying_takes_every_version_and_says_what() -> None:
    alice, bob, ring = uuid4(), uuid4(), Keyring()
    hers, his = ring.of_subject_now(acme, alice), ring.of_subject_now(acme, bob)
    second = DataKey(id=uuid4(), tenant_id=acme, subject_id=alice, version=2)
    wrap(second, bytes(32), ring.of_subject_now(acme, None))
    second.save(force_insert=True)
    evidence = destroy(acme, alice)
    ids = [hers.key_id, second.id]
    assert evidence == {
        "keys": 2,
        "key_ids": [str(key_id) for key_id in ids],
        "key_ids_sha256": sha256(b"".join(key_id.bytes for key_id in ids)).hexdigest(),
    }
    assert destroy(acme, alice)["keys"] == 0
    for key_id in ids:
        with pytest.raises(Unreadable, match="destroyed"):
            Keyring().by_id_now(key_id)
    assert Keyring().by_id_now(his.key_id)
    assert Event.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_destruction_that_is_rolled_back_has_not_been() -> None:
    alice = uuid4()
    cipher = keyring.of_subject_now(acme, alice)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert destroy(acme, alice)["keys"] == 1
        raise ZeroDivisionError
    assert keyring.by_id_now(cipher.key_id).decrypt(cipher.encrypt(b"here", AAD), AAD) == b"here"


ELSEWHERE = """
import sys, time, uuid, django
django.setup()
from audit.keys.keyring import Unreadable, keyring
keys = [uuid.UUID(word) for word in sys.argv[1:]]
for key in keys:
    keyring.by_id_now(key)
print("has them", flush=True)
while keys:
    for key in list(keys):
        try:
            keyring.by_id_now(key)
        except Unreadable:
            keys.remove(key)
            print(key, repr(time.time()), flush=True)
    time.sleep(0.005)
"""


@pytest.mark.django_db(transaction=True)
def test_other_processes_forget_it_within_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    """Two of them, busy with these very keys all the time."""
    people = [uuid4() for _ in range(10)]
    keys = {who: Keyring().of_subject_now(acme, who).key_id for who in people}
    others = [elsewhere(keys.values()) for _ in range(2)]
    for other in others:
        assert other.stdout
        assert other.stdout.readline() == "has them\n"
    destroyed = {}
    for who in people:
        time.sleep(random.random() / 2)
        destroy(acme, who)
        destroyed[str(keys[who])] = time.time()
    said = [word for other in others for word in other.communicate(timeout=10)[0].split()]
    took = [float(at) - destroyed[key] for key, at in zip(said[::2], said[1::2], strict=True)]
    with capsys.disabled():
        print(f"\n  {len(took)} times forgotten elsewhere, after at most {max(took):.3f} s")
    assert len(took) == 20
    assert 0 <= min(took) <= max(took) < 1.0


def elsewhere(keys: Iterable[UUID]) -> "subprocess.Popen[str]":
    url, name = settings.DATABASE_URL, connection.settings_dict["NAME"]
    told = {
        "DATABASE_URL": url.rpartition("/")[0] + f"/{name}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    line = [sys.executable, "-c", ELSEWHERE, *map(str, keys)]
    env = {**os.environ, **told}
    return subprocess.Popen(line, env=env, cwd=PROJECT, stdout=subprocess.PIPE, text=True)


@pytest.mark.django_db(transaction=True)
def test_one_read_just_before_it_was_destroyed_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is read, then destroyed and the news of it heard, then the key is unwrapped."""
    alice, ring = uuid4(), Keyring()
    key_id = Keyring().of_subject_now(acme, alice).key_id
    unwrap = ring.unwrap

    def slowly(row: DataKey) -> bytes:
        key = unwrap(row)
        if row.pk == key_id:
            destroy(acme, alice)
            ring._watch.look()
        return key

    monkeypatch.setattr(ring, "unwrap", slowly)
    ring.by_id_now(key_id)
    assert key_id not in ring._cache.by_id
    with pytest.raises(Unreadable):
        ring.by_id_now(key_id)


@pytest.mark.django_db(transaction=True)
def test_without_news_from_the_database_nothing_is_given_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, ring = uuid4(), Keyring()
    ring.of_subject_now(acme, alice)
    ring._watch._stop.set()  # the thread ends

    def away() -> None:
        raise OperationalError("no database")

    monkeypatch.setattr(ring._watch, "look", away)
    deadline = time.monotonic() + 1.5
    with pytest.raises(OperationalError):
        while time.monotonic() < deadline:
            ring.of_subject_now(acme, alice)
            time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
def test_while_nobody_asks_for_a_key_one_that_is_destroyed_goes_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_cache, "QUIET_S", 0.0)
    alice, ring = uuid4(), Keyring()
    key_id = ring.of_subject_now(acme, alice).key_id
    ring.of_subject_now(acme, uuid4())
    time.sleep(0.5)
    with connection.cursor() as cursor:  # as another process does it
        cursor.execute("delete from audit_datakey where subject_id = %s", [alice])
    destroyed = time.monotonic()
    while key_id in ring._cache.by_id:
        assert time.monotonic() - destroyed < 5
        time.sleep(0.01)
    assert ring._cache.by_id, "and no other"


def test_then_it_looks_less_often_and_still_within_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = key_cache.KeyWatch(cache := key_cache.KeyCache(10))
    cache.used = time.monotonic()
    assert watch._pause() == key_cache.PAUSE_S
    cache.used -= key_cache.QUIET_S + 1
    assert watch._pause() == key_cache.QUIET_PAUSE_S
    assert key_cache.PAUSE_S < key_cache.QUIET_PAUSE_S < key_cache.VALID_S < 1


@pytest.mark.django_db(transaction=True)
def test_keys_leave_the_memory_of_a_process_that_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_cache, "IDLE_S", 0.2)
    ring = Keyring()
    ring.of_subject_now(acme, uuid4())
    assert ring._cache.by_id
    time.sleep(1.0)
    assert not ring._cache.by_id
    assert not ring._cache.newest
    assert ring.of_subject_now(acme, uuid4()), "it comes back when there is something to do"
