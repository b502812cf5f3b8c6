"""A key that is not in memory opens after one small query, if nothing bars its subject."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.keys import stored_keys
from audit.keys.keyring import Barred, Cipher, Keyring, Unreadable, destroy, keyring
from audit.keys.master_keys import MasterKeys
from audit.models import DataKey, Tombstone
from infrastructure.postgres.lookups import Lookups

in_database = database_sync_to_async
acme, alice = uuid4(), uuid4()


@pytest.fixture
async def lookups(dsn: str) -> AsyncIterator[Lookups]:
    lookups = Lookups(dsn)
    yield lookups
    await lookups.close()


@pytest.fixture
async def cipher(dsn: str) -> Cipher:
    """Alice's key, which another process has made: this one has the key above it alone."""
    cipher = await in_database(Keyring().of_subject_now)(acme, alice)
    await in_database(keyring.of_subject_now)(acme, None)
    assert keyring.cached_by_id(cipher.key_id) is None
    return cipher


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Collects the keys and subjects that the ORM reads in a thread."""
    read = list[UUID]()
    by_id, of_subject = Keyring.by_id_now, Keyring.of_subject_now

    def by_id_counted(self: Keyring, key_id: UUID) -> Cipher:
        read.append(key_id)
        return by_id(self, key_id)

    def of_subject_counted(self: Keyring, tenant_id: UUID, subject_id: UUID | None) -> Cipher:
        read.append(subject_id or tenant_id)
        return of_subject(self, tenant_id, subject_id)

    monkeypatch.setattr(Keyring, "by_id_now", by_id_counted)
    monkeypatch.setattr(Keyring, "of_subject_now", of_subject_counted)
    return read


async def forget_tenant_key() -> None:
    keyring.forget((await in_database(DataKey.objects.get)(tenant_id=acme, subject_id=None)).pk)
    assert keyring.epoch is not None


async def test_it_opens_what_the_other_process_sealed(
    lookups: Lookups, cipher: Cipher, in_threads: list[UUID]
) -> None:
    text = cipher.encrypt(b"a prompt", b"here")
    opened = await stored_keys.by_id(lookups, cipher.key_id)
    assert opened.decrypt(text, b"here") == b"a prompt"
    assert await stored_keys.by_id(lookups, cipher.key_id) is opened  # from memory
    assert in_threads == []


async def test_the_key_above_it_comes_with_it(
    lookups: Lookups, cipher: Cipher, in_threads: list[UUID]
) -> None:
    await forget_tenant_key()
    text = cipher.encrypt(b"a prompt", b"here")
    opened = await stored_keys.by_id(lookups, cipher.key_id)
    assert opened.decrypt(text, b"here") == b"a prompt"
    assert in_threads == []


async def test_a_master_key_elsewhere_is_asked_in_a_thread(
    lookups: Lookups, cipher: Cipher, in_threads: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    await forget_tenant_key()
    monkeypatch.setattr(MasterKeys, "decrypt_at_once", lambda *arguments: None)
    text = cipher.encrypt(b"a prompt", b"here")
    opened = await stored_keys.by_id(lookups, cipher.key_id)
    assert opened.decrypt(text, b"here") == b"a prompt"
    assert in_threads[0] == cipher.key_id


async def test_a_subjects_newest_key_is_found(
    lookups: Lookups, cipher: Cipher, in_threads: list[UUID]
) -> None:
    await forget_tenant_key()
    opened = await stored_keys.of_subject(lookups, acme, alice)
    assert opened.key_id == cipher.key_id
    assert await stored_keys.of_subject(lookups, acme, alice) is opened  # from memory
    assert in_threads == []


async def test_a_subject_without_a_key_gets_one(lookups: Lookups, cipher: Cipher) -> None:
    bob = uuid4()
    made = await stored_keys.of_subject(lookups, acme, bob)
    assert (await in_database(DataKey.objects.get)(subject_id=bob)).pk == made.key_id


async def test_a_barred_subject_gets_none(lookups: Lookups, cipher: Cipher) -> None:
    ids = {"tenant_id": acme, "subject_id": alice, "request_id": uuid4()}
    await in_database(Tombstone.objects.create)(**ids, at=timezone.now(), signature=b"s")
    with pytest.raises(Barred):
        await stored_keys.of_subject(lookups, acme, alice)


async def test_a_subject_of_another_tenant_has_another_key(
    lookups: Lookups, cipher: Cipher
) -> None:
    globex = uuid4()
    theirs = await stored_keys.of_subject(lookups, globex, alice)
    assert theirs.key_id != cipher.key_id


async def test_a_damaged_key_opens_nothing(lookups: Lookups, cipher: Cipher) -> None:
    rows = DataKey.objects.filter(pk=cipher.key_id)
    await in_database(rows.update)(wrapped=bytes(60))
    with pytest.raises(Unreadable):
        await stored_keys.by_id(lookups, cipher.key_id)


async def test_a_destroyed_key_opens_nothing(lookups: Lookups, cipher: Cipher) -> None:
    await in_database(destroy)(acme, alice)
    with pytest.raises(Unreadable):
        await stored_keys.by_id(lookups, cipher.key_id)


async def test_a_barred_subject_has_no_key(lookups: Lookups, cipher: Cipher) -> None:
    ids = {"tenant_id": acme, "subject_id": alice, "request_id": uuid4()}
    await in_database(Tombstone.objects.create)(**ids, at=timezone.now(), signature=b"s")
    with pytest.raises(Barred):
        await stored_keys.by_id(lookups, cipher.key_id)
    assert keyring.cached_by_id(cipher.key_id) is None


async def test_what_is_destroyed_after_it_was_read_opens_nothing(
    lookups: Lookups, cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Lookups.ask

    async def late(*arguments: Any) -> Any:
        row = await ask(*arguments)
        await in_database(destroy)(acme, alice)
        return row

    monkeypatch.setattr(Lookups, "ask", late)
    with pytest.raises(Unreadable):
        await stored_keys.by_id(lookups, cipher.key_id)
    assert keyring.cached_by_id(cipher.key_id) is None


async def test_a_database_that_is_away_is_told_as_one(
    lookups: Lookups, cipher: Cipher, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FAILOVER_WAIT_S = 0
    monkeypatch.setattr(lookups._connection, "_dsn", "postgres://127.0.0.1:9/none")
    with pytest.raises(DatabaseError):
        await stored_keys.by_id(lookups, cipher.key_id)
