"""A person whom a tenant's data is about and who is no member: a customer, a caller.

The tenant names them by a reference of its own, which is nowhere stored: a keyed digest finds the
person again (audit/keys/digest_key.py). The id is their pseudonym in the trail and the owner of the
key that their texts are encrypted with, so that erasure, restriction, export and legal holds are
those of members.
"""

import uuid
from typing import ClassVar
from uuid import UUID

from django.db import models
from django.utils import timezone

from infrastructure.postgres.queries import rows
from tenants.models.people.reference import reference_digest
from tenants.models.tenant import Tenant

_INSERT = """insert into tenants_person (id, tenant_id, digest, created_at)
    values (%s, %s, %s, %s) on conflict do nothing returning id"""


class PersonQuerySet(models.QuerySet["Person"]):
    def of(self, tenant_id: UUID, reference: str) -> "Person":
        """Returns the person of this reference, made on first use. Raises ValidationError.

        Needs the tenant's scope. Of several processes that make one at a time, all get the same.
        """
        return self.known_or_new(tenant_id, reference)[0]

    def known_or_new(self, tenant_id: UUID, reference: str) -> "tuple[Person, bool]":
        """Returns what `of` does, and whether this transaction made it."""
        own = {"tenant_id": tenant_id, "digest": reference_digest(tenant_id, reference)}
        if person := self.filter(**own).first():
            return person, False
        person = Person(**own, created_at=timezone.now())
        values = [person.id, tenant_id, person.digest, person.created_at]
        if rows(_INSERT, values):
            return person, True
        return self.get(**own), False  # another process was faster

    def known(self, tenant_id: UUID, reference: str) -> "Person | None":
        """Returns the person of this reference if there is one. Raises ValidationError."""
        own = {"tenant_id": tenant_id, "digest": reference_digest(tenant_id, reference)}
        return self.filter(**own).first()

    def without_data(self) -> "PersonQuerySet":
        """Returns people to whom no row refers any more."""
        people = self
        for relation in Person._meta.related_objects:
            rows = relation.related_model._base_manager
            mine = rows.filter(**{relation.field.attname: models.OuterRef("pk")})
            people = people.exclude(models.Exists(mine))
        return people


class Person(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="people", db_index=False)
    digest = models.BinaryField(max_length=32)  # of the reference
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[PersonQuerySet] = PersonQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [models.UniqueConstraint("tenant", "digest", name="tenants_person_once")]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def subject_id(self) -> UUID:
        return self.id
