"""A tenant's secret for keyed digests: wrapped, rotated and destroyed like the keys of its people.

A digest finds a reference again without storing it. Without the secret nobody can try out
references, for example all numbers of customers.
"""

import hmac
from hashlib import sha256
from uuid import UUID

from django.db import connection

from audit.keys.keyring import Unreadable, keyring, newest
from infrastructure.postgres.scope import scope

OWNER = UUID(int=2)  # the "subject" whose key is the secret; key_check.py has another
_MOST_TENANTS = 1_000
_secrets: dict[UUID, bytes] = {}


def digest(tenant_id: UUID, text: str) -> bytes:
    """Returns 32 bytes. Raises Unreadable, MasterKeyUnavailable."""
    secret = _secrets.get(tenant_id) or _secret(tenant_id)
    return hmac.digest(secret, text.encode(), sha256)


def _secret(tenant_id: UUID) -> bytes:
    keyring.of_subject_now(tenant_id, OWNER)  # makes it on first use
    with scope(tenant=str(tenant_id)):
        row = newest(tenant_id, OWNER)
        if row is None:
            raise Unreadable("the secret of the tenant's digests has been destroyed")
        secret = keyring.unwrap(row)
    if not connection.in_atomic_block:  # a rollback would take a new one back
        if len(_secrets) >= _MOST_TENANTS:
            _secrets.clear()
        _secrets[tenant_id] = secret
    return secret
