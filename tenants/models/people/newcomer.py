"""People who are seen for the first time, stored by processes that take requests.

A row of a group commit (audit/trail/group_commit.py) makes a person and the key of their texts. A
transaction of the ORM in a thread, which does the same, takes several times as long.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from audit.keys.keyring import NewKey, keyring, tenant_lock
from tenants.models.people.reference import reference_digest_at_once

STORE = "select person, stored from tenants_store_people(%s::jsonb)"  # tenants/sql/new_people.sql


@dataclass(frozen=True, slots=True)
class Newcomer:
    tenant_id: UUID
    id: UUID
    digest: bytes  # of the reference
    key: NewKey

    @classmethod
    def of(cls, tenant_id: UUID, reference: str) -> "Newcomer | None":
        """Returns a person to be stored; None if that needs a query. Raises ValidationError."""
        digest, person_id = reference_digest_at_once(tenant_id, reference), uuid4()
        key = keyring.first_key(tenant_id, person_id) if digest else None
        return cls(tenant_id, person_id, digest, key) if digest and key else None

    def row(self) -> dict[str, Any]:
        """Returns the parameters of STORE."""
        key = self.key.row
        return {
            "id": str(self.id),
            "at": timezone.now().isoformat(),
            "tenant_id": str(self.tenant_id),
            "digest": self.digest.hex(),
            "key_id": str(key.id),
            "wrapped": bytes(key.wrapped).hex(),
            "wrapped_by": str(key.wrapped_by),
            "key_lock": tenant_lock(self.tenant_id),
        }
