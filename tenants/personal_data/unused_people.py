"""Deletes people whom nothing refers to any more, with their keys.

A person with a restriction, a request for deletion or a legal hold stays: these name the person,
who would be another one if the reference came again.
"""

from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef

from audit.erasure import erasers
from audit.erasure.erasers import ErasureTurn
from audit.keys import keyring
from audit.models import DeletionRequest, Event, LegalHold
from audit.retention.data_classes import Counts
from tenants.models import Person
from tenants.models.people.person import PersonQuerySet

MOST = 1_000  # of a night


def candidates(tenant_id: UUID, before: datetime) -> PersonQuerySet:
    """Returns people to whom no row refers, and of whom the trail says nothing since then."""
    people = Person.objects.filter(tenant_id=tenant_id, created_at__lt=before).without_data()
    named = {"tenant_id": tenant_id, "subject_id": OuterRef("pk")}
    events = Event.objects.filter(**named, at__gte=before)
    for rows in (
        events,
        DeletionRequest.objects.filter(**named),
        LegalHold.objects.filter(**named),
    ):
        people = people.exclude(Exists(rows))
    return people


def count(tenant_id: UUID, before: datetime) -> Counts:
    """Counts candidates by month. Texts under their keys may still keep some of them."""
    counts: Counts = {}
    for created_at in candidates(tenant_id, before).values_list("created_at", flat=True):
        kinds = counts.setdefault(f"{created_at:%Y-%m}", {"people": 0})
        kinds["people"] += 1
    return dict(sorted(counts.items()))


def erase(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete them, the oldest first, at most MOST. Returns how many."""
    deleted = 0
    rows = candidates(tenant_id, before).exclude(pk__in=spare).order_by("created_at")
    for person in rows.iterator(chunk_size=MOST):
        if deleted == MOST:
            break
        if not _has_data(person):
            keyring.destroy(tenant_id, person.subject_id)
            person.delete()
            deleted += 1
    return deleted


def _has_data(person: Person) -> bool:
    """Returns whether a store has texts or rows of theirs."""
    stores = (
        each
        for each in erasers.in_order()
        if each.turn == ErasureTurn.CONTENT and not each.is_brief
    )
    return any(each.verify(person.tenant_id, person.subject_id) for each in stores)
