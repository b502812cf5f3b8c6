"""Finds the person or key behind a pseudonym of the trail, present or former."""

from dataclasses import dataclass
from uuid import UUID

from audit.models import DataKey, Event
from tenants.models import ApiKey, Member, Tenant


@dataclass(frozen=True, slots=True)
class Former:
    """A removed member or deleted key of whom the tenant still has data."""

    subject_id: UUID


Subject = Member | ApiKey | Former


def find(tenant: Tenant, subject_id: UUID) -> Subject | None:
    for rows in (tenant.members.select_related("tenant"), tenant.api_keys.all()):
        if row := rows.filter(subject_id=subject_id).first():
            return row
    owner = {"tenant_id": tenant.id, "subject_id": subject_id}
    if Event.objects.filter(**owner).exists() or DataKey.objects.filter(**owner).exists():
        return Former(subject_id)
    return None


def parsed(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
