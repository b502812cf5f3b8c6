"""Envelope encryption: master key -> tenant key -> subject key -> data (AES-256-GCM throughout).

Every ciphertext is bound to its place (additional data: tenant, table, row, field) and to its
key's id, which names the version, so that one moved elsewhere does not open. A tenant's newest key
wraps what is new; older ones still open. Destroying a subject's keys makes all its texts
unreadable.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from channels.db import database_sync_to_async
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import connection, transaction

from audit.keys.cipher import Barred, Cipher, Unreadable
from audit.keys.key_cache import KeyCache
from audit.keys.key_watch import KeyWatch
from audit.keys.master_keys import MasterKeys
from audit.models import DataKey
from audit.models.key import MASTER
from infrastructure.postgres.scope import is_narrow, scope

__all__ = ["Barred", "Cipher", "Keyring", "Unreadable", "destroy", "keyring"]

CACHED_KEYS = 10_000


class Keyring:
    """The keys that this process has unwrapped, and how to come by others.

    Every way to a key may raise Unreadable (it or the key above it is gone for ever) and
    MasterKeyUnavailable (it may come back).
    """

    def __init__(self) -> None:
        self._cache = KeyCache(CACHED_KEYS)
        self._watch = KeyWatch(self._cache)

    def known(self, tenant_id: UUID, subject_id: UUID) -> Cipher | None:
        """The subject's newest key, if nobody has to be asked for it."""
        return self._cache.of((tenant_id, subject_id))

    async def of_subject(self, tenant_id: UUID, subject_id: UUID) -> Cipher:
        known = self.known(tenant_id, subject_id)
        return known or await database_sync_to_async(self.of_subject_now)(tenant_id, subject_id)

    def of_subject_now(self, tenant_id: UUID, subject_id: UUID | None) -> Cipher:
        """The subject's newest key, made on first use; the tenant's for subject None."""
        owner = (tenant_id, subject_id)
        if known := self._cache.of(owner):
            return known
        self._watch.look()
        if known := self._cache.of(owner):
            return known
        epoch = self._cache.epoch
        with scope(tenant=str(tenant_id)):
            row = newest(tenant_id, subject_id) or self._new(tenant_id, subject_id)
        return self._remember(row, epoch, is_newest=True)

    async def by_id(self, key_id: UUID) -> Cipher:
        return self._cache.named(key_id) or await database_sync_to_async(self.by_id_now)(key_id)

    def by_id_now(self, key_id: UUID) -> Cipher:
        if known := self._cache.named(key_id):
            return known
        self._watch.look()
        if known := self._cache.named(key_id):
            return known
        epoch = self._cache.epoch
        with _whoever_owns_it():
            row = DataKey.objects.filter(pk=key_id).first()
        if row is None:
            raise Unreadable("the key has been destroyed")
        return self._remember(row, epoch, is_newest=False)

    def forget(self, key_id: UUID) -> None:
        self._cache.forget(key_id)

    def rest(self) -> None:
        """Forgets everything and lets go of the database, until the next key is asked for."""
        self._watch.stop()

    def unwrapped(self, row: DataKey) -> bytes:
        """The key in the row. Raises Unreadable, MasterKeyUnavailable."""
        wrapped = bytes(row.wrapped)
        if row.subject_id is None:
            master_keys: MasterKeys = settings.MASTER_KEYS
            return master_keys.decrypt(row.wrapped_by, wrapped, aad(row))
        return self._parent(row).decrypt(wrapped, aad(row))

    def _parent(self, row: DataKey) -> Cipher:
        if row.wrapped_by != MASTER:
            return self.by_id_now(row.wrapped_by)
        with scope(tenant=str(row.tenant_id)):  # from before keys had versions
            first = DataKey.objects.filter(
                tenant_id=row.tenant_id, subject_id=None, version=1
            ).first()
        if first is None:
            raise Unreadable("the tenant's key has been destroyed")
        return self.by_id_now(first.id)

    def _new(self, tenant_id: UUID, subject_id: UUID | None) -> DataKey:
        row = DataKey(id=uuid4(), tenant_id=tenant_id, subject_id=subject_id)
        key = AESGCM.generate_key(256)
        if subject_id is None:
            wrap_under_master(row, key)
        else:
            hold_tenant(tenant_id, "shared")
            refuse_if_barred(tenant_id, subject_id)
            parent = newest(tenant_id, None)
            above = self._unwrapped_row(parent) if parent else self.of_subject_now(tenant_id, None)
            wrap(row, key, above)
        DataKey.objects.bulk_create([row], ignore_conflicts=True)
        made = newest(tenant_id, subject_id)
        if made is None:
            raise Unreadable("the key was destroyed as soon as it was made")
        return made  # another process may have been first

    def _unwrapped_row(self, row: DataKey) -> Cipher:
        return self._cache.named(row.id) or Cipher(row.id, AESGCM(self.unwrapped(row)))

    def _remember(self, row: DataKey, epoch: int, *, is_newest: bool) -> Cipher:
        if row.subject_id:
            refuse_if_barred(row.tenant_id, row.subject_id)
        known = self._cache.named(row.id)
        cipher = known or Cipher(row.id, AESGCM(self.unwrapped(row)))
        owner = (row.tenant_id, row.subject_id) if is_newest else None
        if connection.in_atomic_block:  # rolled back, it would be a key that nobody else has
            transaction.on_commit(lambda: self._cache.keep(cipher, owner, epoch))
        else:
            self._cache.keep(cipher, owner, epoch)
        return cipher


def _whoever_owns_it() -> AbstractContextManager[None]:
    """Within a tenant's scope its own keys. A wrapped key by itself opens nothing."""
    return nullcontext() if is_narrow() else scope(system=True)


def newest(tenant_id: UUID, subject_id: UUID | None) -> DataKey | None:
    owned = DataKey.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return owned.order_by("-version").first()


def refuse_if_barred(tenant_id: UUID, subject_id: UUID) -> None:
    """Raises Barred: who was erased gets no new key, whose data is restricted no old one."""
    with connection.cursor() as cursor:
        cursor.execute("select audit_barred(%s, %s)", [tenant_id, subject_id])
        if cursor.fetchone()[0]:
            raise Barred("the subject has been erased, or its data is restricted")


def wrap(row: DataKey, key: bytes, parent: Cipher) -> None:
    row.wrapped_by = parent.key_id
    row.wrapped = parent.encrypt(key, aad(row))


def wrap_under_master(row: DataKey, key: bytes) -> None:
    row.wrapped_by, row.wrapped = settings.MASTER_KEYS.encrypt(key, _named_aad(row))


def aad(row: DataKey) -> bytes:
    """What a wrapped key is bound to."""
    if row.wrapped_by == MASTER:  # from before keys had versions
        return b"audit_datakey|%b|%b" % (row.tenant_id.bytes, row.id.bytes)
    return _named_aad(row)


def _named_aad(row: DataKey) -> bytes:
    owner = row.tenant_id.bytes + (row.subject_id.bytes if row.subject_id else b"")
    return b"audit_datakey|%b|%b|%d|wrapped" % (owner, row.id.bytes, row.version)


def hold_tenant(tenant_id: UUID, how: str = "") -> None:
    """Until the transaction ends: "shared" for new keys under the tenant's, "" to replace that."""
    number = int.from_bytes(sha256(b"keys of " + tenant_id.bytes).digest()[:8], "big", signed=True)
    kind = "pg_advisory_xact_lock_shared" if how == "shared" else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"select {kind}(%s)", [number])


def destroy(tenant_id: UUID, subject_id: UUID) -> dict[str, Any]:
    """Deletes every version of a subject's key: what was encrypted with it is unreadable for ever.

    Runs in the transaction that is open (so that its evidence can be kept in the same one), else
    in one of its own. Puts nothing on record. All processes forget the keys within a second.
    Evidence, fit for JSON: {"keys": 2, "key_ids": ["…", "…"], "key_ids_sha256": "…"}, the ids in
    order of their version, the hash over their 16 bytes each. Done again, it finds 0 keys.
    """
    with scope(tenant=str(tenant_id)), connection.cursor() as cursor:
        cursor.execute(
            "with gone as (delete from audit_datakey where tenant_id = %s and subject_id = %s "
            "returning id, version) select id from gone order by version",
            [tenant_id, subject_id],
        )
        ids: list[UUID] = [key_id for (key_id,) in cursor.fetchall()]
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
