"""Requests to erase a person's data: their clock, their steps, and the proof."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class DeletionState(models.TextChoices):
    REQUESTED = "requested", _("Waits for approval")
    APPROVED = "approved", _("Waits for execution")
    RUNNING = "running", _("Being executed")
    HELD = "held", _("On legal hold")
    DONE = "done", _("Done")
    REFUSED = "refused", _("Refused")


class DeletionMode(models.TextChoices):
    ERASE = "erase", _("Erase")
    RESTRICT = "restrict", _("Restrict until retention ends, then erase")


class DeletionRequestQuerySet(models.QuerySet["DeletionRequest"]):
    def open(self) -> "DeletionRequestQuerySet":
        return self.exclude(state__in=(DeletionState.DONE, DeletionState.REFUSED))

    def newest_first(self) -> "DeletionRequestQuerySet":
        return self.order_by("-requested_at")


class DeletionRequest(models.Model):
    """One subject's data, to be erased within 72 hours of the request."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    tenant_id = models.UUIDField()
    subject_id = models.UUIDField()  # the pseudonym; its link to the person is destroyed too
    mode = models.CharField(max_length=10, choices=DeletionMode, default=DeletionMode.ERASE)
    state = models.CharField(max_length=10, choices=DeletionState, default=DeletionState.REQUESTED)
    removes = models.BooleanField(default=False)  # the membership or key goes too
    reason = models.CharField(max_length=500, default="")
    answer = models.CharField(max_length=500, default="")  # to the requester: why refused or held
    requested_by = models.CharField(max_length=80)
    by_subject = models.BooleanField(default=False)  # only then does silence approve it
    requested_at = models.DateTimeField()
    due_at = models.DateTimeField()
    held_at = models.DateTimeField(null=True)  # the clock has stopped
    alerted_at = models.DateTimeField(null=True)
    approved_by = models.CharField(max_length=80, default="")
    approved_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    certificate = models.JSONField(null=True)

    objects: ClassVar[DeletionRequestQuerySet] = DeletionRequestQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "subject_id", "mode"],
                name="audit_deletion_one_open",
                condition=~models.Q(state__in=("done", "refused")),
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "-requested_at"], name="audit_deletion_newest"),
        ]


class ErasureStep(models.Model):
    """One store of one request: its evidence and outcome. Done once, never deleted."""

    tenant_id = models.UUIDField()
    request = models.ForeignKey(DeletionRequest, models.PROTECT, related_name="steps")
    store = models.CharField(max_length=60)
    evidence = models.JSONField(default=dict)
    attempts = models.PositiveIntegerField(default=0)
    problem = models.CharField(max_length=500, default="")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "store"], name="audit_step_once"),
        ]


class Tombstone(models.Model):
    """A subject that has been erased: data restored from an older backup is erased again."""

    n = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    subject_id = models.UUIDField()
    request_id = models.UUIDField(unique=True)
    removes = models.BooleanField(default=False)
    at = models.DateTimeField()
    signature = models.BinaryField()

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "subject_id"], name="audit_tombstone_whose")]
