"""Whose a pseudonym of the trail is: somebody of today, or somebody who has left."""

from dataclasses import dataclass
from uuid import UUID

from audit.models import DataKey, Event
from tenants.models import ApiKey, Member, Tenant


@dataclass(frozen=True, slots=True)
class Former:
    """A member who was removed or a key that was deleted: the tenant still has data of theirs."""

    subject_id: UUID


Whose = Member | ApiKey | Former


def find(tenant: Tenant, subject_id: UUID) -> Member | ApiKey | Former | None:
    for rows in (tenant.members.select_related("tenant"), tenant.api_keys.all()):
        if found := rows.filter(subject_id=subject_id).first():
            return found
    whose = {"tenant_id": tenant.id, "subject_id": subject_id}
    if Event.objects.filter(**whose).exists() or DataKey.objects.filter(**whose).exists():
        return Former(subject_id)
    return None


def parsed(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
