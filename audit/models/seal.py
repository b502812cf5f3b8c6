"""Seals make the trail tamper-evident: batches under a Merkle root, chained, and signed."""

from typing import ClassVar
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models


class SealQuerySet(models.QuerySet["Seal"]):
    def of_tenant(self, tenant_id: UUID) -> "SealQuerySet":
        return self.filter(tenant_id=tenant_id)


class Seal(models.Model):
    """A batch of one tenant's events. Rows are only ever added.

    `leaves`: 32 bytes for each of `event_ids`, in that order, which is that of the sequence
    numbers `first_seq`, `first_seq + 1`, …. Hashes are SHA-256 (audit/merkle.py).
    """

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    batch = models.BigIntegerField()  # 1, 2, 3, … of each tenant
    first_seq = models.BigIntegerField()
    size = models.IntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    event_ids = ArrayField(models.BigIntegerField())
    leaves = models.BinaryField()
    root = models.BinaryField()
    previous = models.BinaryField()  # `hash` of the tenant's batch before; zeros for the first
    hash = models.BinaryField()
    checkpoint = (
        models.BigIntegerField()
    )  # the checkpoint that signs it; `position` is its index there
    position = models.IntegerField()
    sealed_at = models.DateTimeField()
    # The tenant's retention of its audit trail at that time; None in seals of earlier versions.
    retention_days = models.IntegerField(null=True)

    objects: ClassVar[SealQuerySet] = SealQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "batch"], name="audit_seal_batch"),
        ]
        indexes = [
            models.Index(fields=["checkpoint", "position"], name="audit_seal_checkpoint"),
            models.Index(fields=["tenant_id", "last_at"], name="audit_seal_last_at"),
        ]


class Checkpoint(models.Model):
    """All seals of one round under one signature, chained to the round before."""

    n = models.BigIntegerField(primary_key=True)
    size = models.BigIntegerField()  # events under seal so far, of all tenants
    root = models.BinaryField()
    previous = models.BinaryField()
    at = models.DateTimeField()
    key_id = models.CharField(max_length=32)
    signature = models.BinaryField()

    class Meta:
        ordering = ["n"]


class SealMark(models.Model):
    """The sealer's position: events up to this transaction and id are sealed.

    A restore from a dump restarts PostgreSQL's transaction counter: `restarts` holds the last event
    ids of before. `xid` and `event_id` then apply only to events with higher ids.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    xid = models.BigIntegerField(default=0)
    event_id = models.BigIntegerField(default=0)
    restarts = ArrayField(models.BigIntegerField(), default=list, db_default=[])
    set_back = models.BooleanField(default=False, db_default=False)  # sealing waits for an operator
    at = models.DateTimeField(auto_now=True)


class WitnessMark(models.Model):
    """The last checkpoint that a witness outside the database has received."""

    name = models.CharField(max_length=200, primary_key=True)
    n = models.BigIntegerField(default=0)
    at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, default="")
