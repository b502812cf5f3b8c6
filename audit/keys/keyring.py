"""Envelope encryption: master key -> tenant key -> subject key -> data (AES-256-GCM throughout).

Every ciphertext is bound to its place (additional data: tenant, table, row, field) and to its key's
id, which names the version, so that it cannot be decrypted elsewhere. A tenant's newest key wraps
new keys; older ones still decrypt. Destroying a subject's keys makes all its texts unreadable.
"""

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from channels.db import database_sync_to_async
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import connection, transaction

from audit.keys.cipher import Barred, Cipher, Unreadable
from audit.keys.key_cache import KeyCache, KeyWatch
from audit.keys.master_keys import MasterKeys
from audit.models import DataKey
from infrastructure.postgres.queries import rows, value
from infrastructure.postgres.repeated_transaction import transact
from infrastructure.postgres.scope import is_narrow, scope

__all__ = ["Barred", "Cipher", "Keyring", "Unreadable", "destroy", "keyring"]

CACHED_KEYS = 10_000
_DELETE = """
    with deleted as (delete from audit_datakey where tenant_id = %s and subject_id = %s
                     returning id, version)
    select id from deleted order by version"""


class NewKey(NamedTuple):
    """`row` is to be stored; `epoch` is the cache's when the tenant's key was read from it."""

    row: DataKey
    cipher: Cipher
    epoch: int


class Keyring:
    """The keys that this process has unwrapped, and access to the others.

    Every method that returns a key may raise Unreadable (it or the key above it is gone for ever)
    and MasterKeyUnavailable (it may come back).
    """

    def __init__(self) -> None:
        self._cache = KeyCache(CACHED_KEYS)
        self._watch = KeyWatch(self._cache)

    def cached(self, tenant_id: UUID, subject_id: UUID) -> Cipher | None:
        """Returns the subject's newest key if it is in memory, without a query."""
        return self._cache.newest_of((tenant_id, subject_id))

    @property
    def epoch(self) -> int | None:
        """Returns what `opened` needs, taken before its row is read; None if memory is stale."""
        return self._cache.epoch if self._cache.is_fresh else None

    def cached_by_id(self, key_id: UUID) -> Cipher | None:
        """Returns the key if it is in memory, without a query."""
        return self._cache.get(key_id)

    def opened(self, row: DataKey, above: DataKey, epoch: int, *, is_newest: bool) -> Cipher | None:
        """Returns the key of a subject's row; None if a file or a KMS must be asked for the master
        key, or if any key was destroyed or barred since `epoch`.

        The rows were read since `epoch`, with the knowledge that nothing bars the subject.
        """
        parent = self._cache.get(above.id) or self._opened_at_once(above, epoch)
        if parent is None:
            return None
        cipher = Cipher(row.id, AESGCM(parent.decrypt(bytes(row.wrapped), aad(row))))
        owner = (row.tenant_id, row.subject_id) if is_newest else None
        return cipher if self._cache.add(cipher, owner, epoch) else None

    def _opened_at_once(self, row: DataKey, epoch: int) -> Cipher | None:
        master_keys: MasterKeys = settings.MASTER_KEYS
        key = master_keys.decrypt_at_once(row.wrapped_by, bytes(row.wrapped), aad(row))
        cipher = Cipher(row.id, AESGCM(key)) if key else None
        return cipher if cipher and self._cache.add(cipher, None, epoch) else None

    def first_key(self, tenant_id: UUID, subject_id: UUID) -> NewKey | None:
        """Returns the first key of a subject that nobody else knows yet, to be stored; None if the
        tenant's own key is not in memory.

        Whoever stores it looks, under `tenant_lock`, whether the tenant's key is the newest one.
        """
        epoch, parent = self.epoch, self._cache.newest_of((tenant_id, None))
        if epoch is None or parent is None:
            return None
        row = DataKey(id=uuid4(), tenant_id=tenant_id, subject_id=subject_id)
        key = AESGCM.generate_key(256)
        wrap(row, key, parent)
        return NewKey(row, Cipher(row.id, AESGCM(key)), epoch)

    def keep(self, new: NewKey) -> Cipher | None:
        """Returns a key that has been stored; None if any key was destroyed since it was made."""
        owner = new.row.tenant_id, new.row.subject_id
        return new.cipher if self._cache.add(new.cipher, owner, new.epoch) else None

    async def of_subject(self, tenant_id: UUID, subject_id: UUID) -> Cipher:
        cached = self.cached(tenant_id, subject_id)
        return cached or await database_sync_to_async(self.of_subject_now)(tenant_id, subject_id)

    def of_subject_now(self, tenant_id: UUID, subject_id: UUID | None) -> Cipher:
        """Returns the subject's newest key, made on first use; the tenant's for subject None."""
        owner = (tenant_id, subject_id)
        if known := self._known(lambda: self._cache.newest_of(owner)):
            return known
        in_tenant = partial(scope, tenant=str(tenant_id))
        return transact(in_tenant, partial(self._stored_or_new, *owner), repeatable=True)

    def of_subject_in_scope(
        self, tenant_id: UUID, subject_id: UUID, *, is_new: bool = False
    ) -> Cipher:
        """Returns what `of_subject_now` does, in the open scope of the tenant: fewer statements.

        `is_new`: the subject was made in this transaction, so that nobody else makes keys for it.
        """
        owner = (tenant_id, subject_id)
        if not is_new and (known := self._known(lambda: self._cache.newest_of(owner))):
            return known
        return self._stored_or_new(tenant_id, subject_id, is_new=is_new)

    def _stored_or_new(
        self, tenant_id: UUID, subject_id: UUID | None, *, is_new: bool = False
    ) -> Cipher:
        epoch = self._cache.epoch
        row = None if is_new else newest(tenant_id, subject_id)
        row = row or self._new(tenant_id, subject_id, is_alone=is_new)
        return self._remember(row, epoch, is_newest=True)

    async def by_id(self, key_id: UUID) -> Cipher:
        return self._cache.get(key_id) or await database_sync_to_async(self.by_id_now)(key_id)

    def by_id_now(self, key_id: UUID) -> Cipher:
        if known := self._known(lambda: self._cache.get(key_id)):
            return known
        epoch = self._cache.epoch
        # Keeps an open tenant's scope, else sees all: a wrapped key alone decrypts nothing.
        sees = nullcontext if is_narrow() else partial(scope, system=True)
        row = transact(sees, DataKey.objects.filter(pk=key_id).first, repeatable=True)
        if row is None:
            raise Unreadable("the key has been destroyed")
        return self._remember(row, epoch, is_newest=False)

    def _known(self, read: Callable[[], Cipher | None]) -> Cipher | None:
        """Reads the cache, a second time after a look at the database."""
        known = read()
        if known is None:
            self._watch.look()
            known = read()
        return known

    def forget(self, key_id: UUID) -> None:
        self._cache.forget(key_id)

    def close(self) -> None:
        """Forgets all keys and closes the database connection until the next key is needed."""
        self._watch.stop()

    def unwrap(self, row: DataKey) -> bytes:
        """Returns the key in the row. Raises Unreadable, MasterKeyUnavailable."""
        wrapped = bytes(row.wrapped)
        if row.subject_id is None:
            master_keys: MasterKeys = settings.MASTER_KEYS
            return master_keys.decrypt(row.wrapped_by, wrapped, aad(row))
        return self.by_id_now(row.wrapped_by).decrypt(wrapped, aad(row))

    def _new(self, tenant_id: UUID, subject_id: UUID | None, *, is_alone: bool = False) -> DataKey:
        """Make a key. `is_alone`: no other transaction sees its subject."""
        row = DataKey(id=uuid4(), tenant_id=tenant_id, subject_id=subject_id)
        key = AESGCM.generate_key(256)
        if subject_id is None:
            wrap_under_master(row, key)
        else:
            lock_tenant_keys(tenant_id, shared=True)
            if not is_alone:  # `_remember` asks too
                refuse_if_barred(tenant_id, subject_id)
            wrap(row, key, self._newest_of_tenant(tenant_id))
        DataKey.objects.bulk_create([row], ignore_conflicts=not is_alone)
        if is_alone:
            return row
        stored = newest(tenant_id, subject_id)  # another process may have been first
        if stored is None:
            raise Unreadable("the key was destroyed as soon as it was made")
        return stored

    def _newest_of_tenant(self, tenant_id: UUID) -> Cipher:
        """Returns the tenant's newest key, and keeps it for `first_key`."""
        epoch, row = self._cache.epoch, newest(tenant_id, None)
        if row is None:
            return self.of_subject_now(tenant_id, None)
        cipher = self._cipher_of(row)
        self._cache.add(cipher, (tenant_id, None), epoch)
        return cipher

    def _cipher_of(self, row: DataKey) -> Cipher:
        return self._cache.get(row.id) or Cipher(row.id, AESGCM(self.unwrap(row)))

    def _remember(self, row: DataKey, epoch: int, *, is_newest: bool) -> Cipher:
        if row.subject_id:
            refuse_if_barred(row.tenant_id, row.subject_id)
        cipher = self._cipher_of(row)
        owner = (row.tenant_id, row.subject_id) if is_newest else None
        if connection.in_atomic_block:  # after a rollback no other process would have this key
            transaction.on_commit(lambda: self._cache.add(cipher, owner, epoch))
        else:
            self._cache.add(cipher, owner, epoch)
        return cipher


def newest(tenant_id: UUID, subject_id: UUID | None) -> DataKey | None:
    owned = DataKey.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return owned.order_by("-version").first()


def refuse_if_barred(tenant_id: UUID, subject_id: UUID) -> None:
    """Raises Barred for an erased subject, and for one whose data is restricted."""
    if value("select audit_barred(%s, %s)", [tenant_id, subject_id]):
        raise Barred("the subject has been erased, or its data is restricted")


def wrap(row: DataKey, key: bytes, parent: Cipher) -> None:
    row.wrapped_by = parent.key_id
    row.wrapped = parent.encrypt(key, aad(row))


def wrap_under_master(row: DataKey, key: bytes) -> None:
    row.wrapped_by, row.wrapped = settings.MASTER_KEYS.encrypt(key, aad(row))


def aad(row: DataKey) -> bytes:
    """Returns the additional data that a wrapped key is bound to."""
    owner = row.tenant_id.bytes + (row.subject_id.bytes if row.subject_id else b"")
    return b"audit_datakey|%b|%b|%d|wrapped" % (owner, row.id.bytes, row.version)


def lock_tenant_keys(tenant_id: UUID, *, shared: bool = False) -> None:
    """Locks until the transaction ends: shared to make subjects' keys, else to replace its own."""
    kind = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    rows(f"select {kind}(%s)", [tenant_lock(tenant_id)])


def tenant_lock(tenant_id: UUID) -> int:
    """Returns the number of the advisory lock on a tenant's keys."""
    return int.from_bytes(sha256(b"keys of " + tenant_id.bytes).digest()[:8], "big", signed=True)


def destroy(tenant_id: UUID, subject_id: UUID) -> dict[str, Any]:
    """Deletes every version of a subject's key: its texts are unreadable for ever.

    It runs in the open transaction (so that the evidence can be stored in it), else in one of its
    own, and records no event. All processes forget the keys within a second. The evidence is fit
    for JSON: {"keys": 2, "key_ids": ["…", "…"], "key_ids_sha256": "…"}, the ids in order of their
    version, the hash over their 16 bytes each. A second call destroys 0 keys.
    """
    with scope(tenant=str(tenant_id)):
        ids: list[UUID] = [key_id for (key_id,) in rows(_DELETE, [tenant_id, subject_id])]
        transaction.on_commit(lambda: _forget(ids))
    _forget(ids)
    return {
        "keys": len(ids),
        "key_ids": [str(key_id) for key_id in ids],
        "key_ids_sha256": sha256(b"".join(key_id.bytes for key_id in ids)).hexdigest(),
    }


def _forget(ids: list[UUID]) -> None:
    for key_id in ids:
        keyring.forget(key_id)


keyring = Keyring()
os.register_at_fork(after_in_child=lambda: keyring.__init__())  # type: ignore[misc]
