"""A tenant's secret for keyed digests: wrapped, rotated and destroyed like the keys of its people.

A digest finds a reference again without storing it. Without the secret nobody can try out
references, for example all numbers of customers.
"""

import hmac
from hashlib import sha256
from uuid import UUID

from django.db import transaction

from audit.keys.keyring import Unreadable, keyring, newest
from infrastructure.postgres.scope import scope

OWNER = UUID(int=2)  # the "subject" whose key is the secret; key_check.py has another
_MOST_TENANTS = 1_000
_NONE = (UUID(int=0), b"")
_secrets: dict[UUID, tuple[UUID, bytes]] = {}  # by the tenant: the key's id, and the key


def digest(tenant_id: UUID, text: str) -> bytes:
    """Returns 32 bytes. Raises Unreadable, MasterKeyUnavailable."""
    secret = _remembered(tenant_id) or _secret(tenant_id)
    return hmac.digest(secret, text.encode(), sha256)


def digest_at_once(tenant_id: UUID, text: str) -> bytes | None:
    """Returns what `digest` does; None if that needs a query."""
    secret = _remembered(tenant_id)
    return hmac.digest(secret, text.encode(), sha256) if secret else None


def _remembered(tenant_id: UUID) -> bytes | None:
    """Returns the secret while the keyring knows its key: it forgets a destroyed one."""
    cipher, (key_id, secret) = keyring.cached(tenant_id, OWNER), _secrets.get(tenant_id, _NONE)
    return secret if cipher and cipher.key_id == key_id else None


def _secret(tenant_id: UUID) -> bytes:
    keyring.of_subject_now(tenant_id, OWNER)  # makes it on first use
    with scope(tenant=str(tenant_id)):
        row = newest(tenant_id, OWNER)
        if row is None:
            raise Unreadable("the secret of the tenant's digests has been destroyed")
        secret = keyring.unwrap(row)
    # A rollback would take a new one back. Outside a transaction this runs at once.
    transaction.on_commit(lambda: _remember(tenant_id, row.id, secret))
    return secret


def _remember(tenant_id: UUID, key_id: UUID, secret: bytes) -> None:
    if len(_secrets) >= _MOST_TENANTS:
        _secrets.clear()
    _secrets[tenant_id] = (key_id, secret)
