"""Finds the person or key behind a pseudonym of the trail, present or former."""

from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ValidationError

from audit.keys import digest_key
from audit.models import DataKey, Event
from tenants.models import ApiKey, Member, Person, Tenant


@dataclass(frozen=True, slots=True)
class Former:
    """A removed member or deleted key of whom the tenant still has data."""

    subject_id: UUID


Subject = Member | ApiKey | Person | Former


def find(tenant: Tenant, subject_id: UUID) -> Subject | None:
    if subject_id == digest_key.OWNER:  # nobody: all digests of people hang on this key
        return None
    for rows in (tenant.members.select_related("tenant"), tenant.api_keys.all()):
        if row := rows.filter(subject_id=subject_id).first():
            return row
    if person := tenant.people.filter(pk=subject_id).first():
        return person
    owner = {"tenant_id": tenant.id, "subject_id": subject_id}
    if Event.objects.filter(**owner).exists() or DataKey.objects.filter(**owner).exists():
        return Former(subject_id)
    return None


def find_person(tenant: Tenant, reference: str) -> Person | None:
    """Returns the person, no member, of a reference. Keys and other texts lead to nobody."""
    try:
        return Person.objects.known(tenant.id, reference)
    except ValidationError:
        return None


def parsed(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
