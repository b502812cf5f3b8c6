"""Envelope encryption: master key -> tenant key -> subject key -> data (AES-256-GCM throughout).

Every ciphertext is bound to its place (additional data: tenant, table, row, field), so that one
moved elsewhere does not open. Destroying a subject's key makes all its texts unreadable.
"""

import secrets
from collections import OrderedDict
from typing import NamedTuple
from uuid import UUID, uuid4

from channels.db import database_sync_to_async
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from audit.models import DataKey
from audit.scope import scope

NONCE = 12
CACHED_KEYS = 10_000


class Unreadable(Exception):
    """The key is gone, or the ciphertext is not what was sealed here."""


class Sealer(NamedTuple):
    """An unwrapped key. `place` names tenant, table, row and field."""

    key_id: UUID
    cipher: AESGCM

    def seal(self, text: bytes, place: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE)
        return nonce + self.cipher.encrypt(nonce, text, self.key_id.bytes + place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        try:
            return self.cipher.decrypt(sealed[:NONCE], sealed[NONCE:], self.key_id.bytes + place)
        except (InvalidTag, ValueError):
            raise Unreadable("not sealed with this key for this place") from None


class Keyring:
    """The keys that this process has unwrapped, least recently used ones dropped."""

    def __init__(self) -> None:
        self._master = Sealer(UUID(int=0), AESGCM(settings.MASTER_KEY))
        self._of: OrderedDict[tuple[UUID, UUID | None], Sealer] = OrderedDict()
        self._by_id: dict[UUID, Sealer] = {}

    async def of_subject(self, tenant_id: UUID, subject_id: UUID) -> Sealer:
        known = self._of.get((tenant_id, subject_id))
        return known or await database_sync_to_async(self.of_subject_now)(tenant_id, subject_id)

    def of_subject_now(self, tenant_id: UUID, subject_id: UUID | None) -> Sealer:
        """The subject's key, made on first use; the tenant's for subject None."""
        known = self._of.get((tenant_id, subject_id))
        if known:
            self._of.move_to_end((tenant_id, subject_id))
            return known
        return self._remember(self._row(tenant_id, subject_id))

    async def by_id(self, key_id: UUID) -> Sealer:
        return self._by_id.get(key_id) or await database_sync_to_async(self.by_id_now)(key_id)

    def by_id_now(self, key_id: UUID) -> Sealer:
        if known := self._by_id.get(key_id):
            return known
        with scope(system=True):  # a wrapped key by itself opens nothing
            row = DataKey.objects.filter(pk=key_id).first()
        if row is None:
            raise Unreadable("the key has been destroyed")
        return self._remember(row)

    def forget(self, key_id: UUID) -> None:
        self._by_id.pop(key_id, None)
        self._of = OrderedDict((k, s) for k, s in self._of.items() if s.key_id != key_id)

    def _parent(self, tenant_id: UUID, subject_id: UUID | None) -> Sealer:
        return self.of_subject_now(tenant_id, None) if subject_id else self._master

    def _row(self, tenant_id: UUID, subject_id: UUID | None) -> DataKey:
        owned = DataKey.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
        with scope(system=True):
            return owned.first() or self._new(owned, tenant_id, subject_id)

    def _new(self, owned: QuerySet[DataKey], tenant_id: UUID, subject_id: UUID | None) -> DataKey:
        row = DataKey(id=uuid4(), tenant_id=tenant_id, subject_id=subject_id)
        parent = self._parent(tenant_id, subject_id)
        row.wrapped = parent.seal(AESGCM.generate_key(256), _place(row))
        DataKey.objects.bulk_create([row], ignore_conflicts=True)
        return owned.get()  # another process may have been first

    def _remember(self, row: DataKey) -> Sealer:
        parent = self._parent(row.tenant_id, row.subject_id)
        sealer = Sealer(row.id, AESGCM(parent.open(bytes(row.wrapped), _place(row))))
        if connection.in_atomic_block:  # rolled back, it would be a key that nobody else has
            transaction.on_commit(lambda: self._keep(row, sealer))
        else:
            self._keep(row, sealer)
        return sealer

    def _keep(self, row: DataKey, sealer: Sealer) -> None:
        self._of[row.tenant_id, row.subject_id] = self._by_id[row.id] = sealer
        if len(self._of) > CACHED_KEYS:
            _, oldest = self._of.popitem(last=False)
            self._by_id.pop(oldest.key_id, None)


def _place(row: DataKey) -> bytes:
    return b"audit_datakey|%b|%b" % (row.tenant_id.bytes, row.id.bytes)


keyring = Keyring()
