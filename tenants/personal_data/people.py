"""People who are no members, as those who answer for their data see them."""

from dataclasses import dataclass

from audit.actions import Action
from audit.trail.record import act
from tenants.models import Person, Tenant


@dataclass(frozen=True, slots=True)
class StoredRows:
    name: str
    count: int


def find(tenant: Tenant, reference: str, *, by: str) -> Person | None:
    """Returns the person of a reference, and records who looked. Raises ValidationError."""
    person = Person.objects.known(tenant.id, reference)
    act(
        Action.PERSON_FIND,
        actor=by,
        tenant_id=tenant.id,
        subject_id=person.subject_id if person else None,
        success=person is not None,
    )
    return person


def stored_rows(person: Person) -> list[StoredRows]:
    """Returns how many rows of each table name the person."""
    rows = []
    for relation in Person._meta.related_objects:
        model = relation.related_model
        own = model._base_manager.filter(**{relation.field.attname: person.pk})
        rows.append(StoredRows(str(model._meta.verbose_name_plural), own.count()))
    return rows
