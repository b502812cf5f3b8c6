"""Retention periods, legal holds, and months that were pruned."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class RetentionRule(models.Model):
    """Days for one class of data of one tenant; without a row the class's default applies."""

    tenant_id = models.UUIDField()
    data_class = models.CharField(max_length=40)  # of audit/retention/data_classes.py
    days = models.PositiveIntegerField()
    changed_by = models.CharField(max_length=80)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "data_class"], name="audit_rule_once"),
        ]


class LegalHold(models.Model):
    """A hold that keeps the data of a tenant, or of one subject, from being erased or pruned.

    It is in force from its request (the data it protects must not vanish while it waits). Without a
    second person's approval it ends at `waits_until`. If a hold like it has recently ended without
    approval, `holds_meanwhile` is false, and it has no effect before its approval. The database
    decides both (sql/5_retention.sql).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    tenant_id = models.UUIDField()
    subject_id = models.UUIDField(null=True)  # None: all subjects of the tenant
    covers_from = models.DateTimeField(null=True)
    covers_until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500)
    requested_by = models.CharField(max_length=80)
    requested_at = models.DateTimeField(auto_now_add=True)
    waits_until = models.DateTimeField(db_default=Now())
    holds_meanwhile = models.BooleanField(db_default=True)
    approved_by = models.CharField(max_length=80, default="")
    approved_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    renewed = models.PositiveSmallIntegerField(default=0)
    renewed_by = models.CharField(max_length=80, default="")  # the last one
    release_asked_by = models.CharField(max_length=80, default="")
    release_asked_at = models.DateTimeField(null=True)
    release_reason = models.CharField(max_length=500, default="")
    released_by = models.CharField(max_length=80, default="")
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(approved_by=F("requested_by")), name="audit_hold_two_people"
            ),
            models.CheckConstraint(
                condition=Q(released_at=None)
                | Q(release_asked_at__isnull=False) & ~Q(released_by=F("release_asked_by")),
                name="audit_hold_two_people_release",
            ),
        ]
        indexes = [models.Index(fields=["tenant_id", "subject_id"], name="audit_hold_whose")]


class PrunedMonth(models.Model):
    """A month of events or texts that was dropped; its seals remain."""

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
