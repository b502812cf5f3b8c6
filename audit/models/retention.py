"""How long what is kept, and what must be kept for a court."""

import uuid

from django.db import models
from django.db.models import F, Q


class RetentionRule(models.Model):
    """Days for one class of data of one tenant; without a row the class's own default holds."""

    tenant_id = models.UUIDField()
    data_class = models.CharField(max_length=40)  # of audit/data_classes.py
    days = models.PositiveIntegerField()
    changed_by = models.CharField(max_length=80)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "data_class"], name="audit_rule_once"),
        ]

    def __str__(self) -> str:
        return f"{self.data_class} {self.days}"


class LegalHold(models.Model):
    """Nothing of the tenant, or of one subject, is erased or dropped while it is in force.

    In force from the moment it is asked for (what it protects must not vanish while it waits);
    without a second person's approval it ends by itself after WAITS_H hours.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    tenant_id = models.UUIDField()
    subject_id = models.UUIDField(null=True)  # None: everybody of the tenant
    covers_from = models.DateTimeField(null=True)
    covers_until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500)
    requested_by = models.CharField(max_length=80)
    requested_at = models.DateTimeField(auto_now_add=True)
    approved_by = models.CharField(max_length=80, default="")
    approved_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    renewed = models.PositiveSmallIntegerField(default=0)
    released_by = models.CharField(max_length=80, default="")
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(approved_by=F("requested_by")), name="audit_hold_two_people"
            ),
        ]
        indexes = [models.Index(fields=["tenant_id", "subject_id"], name="audit_hold_whose")]

    def __str__(self) -> str:
        return str(self.id)


class PrunedMonth(models.Model):
    """A month of events or texts that has been dropped; its seals stay."""

    table = models.CharField(max_length=40)
    month = models.DateField()
    rows = models.BigIntegerField()
    first_seal = models.BigIntegerField(null=True)
    last_seal = models.BigIntegerField(null=True)
    pruned_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["table", "month"], name="audit_pruned_once"),
        ]

    def __str__(self) -> str:
        return f"{self.table} {self.month:%Y-%m}"
