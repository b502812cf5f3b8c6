"""Encryption keys, each wrapped by the one above it, and the progress of rotations."""

import uuid
from uuid import UUID

from django.db import models


class DataKey(models.Model):
    """A 256-bit key, wrapped: a tenant's by the master key, a subject's by its tenant's."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    tenant_id = models.UUIDField()
    subject_id = models.UUIDField(null=True)
    version = models.PositiveSmallIntegerField(default=1)  # the highest one encrypts new texts
    wrapped_by = models.UUIDField(default=UUID(int=0))  # the key above it, by id
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "tenant_id",
                "subject_id",
                "version",
                name="audit_datakey_owner",
                nulls_distinct=False,
            ),
        ]


class KeyMark(models.Model):
    """One row that counts destroyed and replaced keys (audit/sql/20_key_mark.sql)."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    generation = models.BigIntegerField(default=0)
    xid = models.BigIntegerField(default=0)  # of the transaction that counted last


class KeyRotation(models.Model):
    """A rotation of a master or a tenant key, running or finished. It continues after a crash."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    tenant_id = models.UUIDField(null=True)  # None: the master key's rotation
    old_key_id = models.UUIDField()
    new_key_id = models.UUIDField()
    actor = models.CharField(max_length=80)
    total = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id"],
                name="audit_rotation_one_at_a_time",
                condition=models.Q(finished_at=None),
                nulls_distinct=False,
            ),
        ]
