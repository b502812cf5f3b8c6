"""The progress of jobs: events, metrics by step, and checkpoints."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from inference.models.job import Job
from tenants.models import Tenant


class Level(models.TextChoices):
    INFO = "info", _("Information")
    WARNING = "warning", _("Warning")
    ERROR = "error", _("Error")


class JobEvent(models.Model):
    """One line of a job's log, in the platform's words: never a text of its data."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    job = models.ForeignKey(Job, models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField(auto_now_add=True)
    level = models.CharField(max_length=8, choices=Level, default=Level.INFO)
    code = models.CharField(max_length=60)
    message = models.CharField(max_length=500)
    detail = models.JSONField(default=dict)  # numbers

    class Meta:
        indexes = [models.Index(fields=["job", "id"], name="jobevent_of_job")]

    def __str__(self) -> str:
        return self.message


class MetricQuerySet(models.QuerySet["JobMetric"]):
    def since(self, metric_id: int) -> "MetricQuerySet":
        """Returns those written after the one with this id, the oldest first."""
        return self.filter(id__gt=metric_id).order_by("id")


class JobMetric(models.Model):
    """One point of a job's curves. A step that is done again after a crash replaces its point."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    job = models.ForeignKey(Job, models.CASCADE, related_name="metrics", db_index=False)
    step = models.BigIntegerField()
    at = models.DateTimeField(auto_now_add=True)
    epoch = models.FloatField(null=True)
    train_loss = models.FloatField(null=True)
    held_out_loss = models.FloatField(null=True)
    learning_rate = models.FloatField(null=True)  # of the step
    tokens = models.BigIntegerField(default=0)
    active_ms = models.BigIntegerField(db_default=0)  # GPU time of the job so far

    objects: ClassVar[MetricQuerySet] = MetricQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="jobmetric_once")]
        indexes = [models.Index(fields=["job", "id"], name="jobmetric_of_job")]

    def __str__(self) -> str:
        return f"step {self.step}"


class JobCheckpoint(models.Model):
    """A durable checkpoint of the trainer. `files` names stored objects.

    Older ones keep their row and lose their files (`files` is empty then).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    job = models.ForeignKey(Job, models.CASCADE, related_name="checkpoints", db_index=False)
    step = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    files = models.JSONField(default=list)  # [[path, sha256, bytes]]
    size = models.BigIntegerField(default=0)  # bytes
    train_loss = models.FloatField(null=True)
    held_out_loss = models.FloatField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="jobcheckpoint_once")]

    def __str__(self) -> str:
        return f"step {self.step} of {self.job_id}"

    @property
    def public_id(self) -> str:
        return f"ftckpt_{self.id.hex}"
