"""Batches: a file of requests that run when there is room, line by line."""

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from inference.models.served import LONGEST_NAME
from tenants.models import ApiKey, Tenant

WINDOW = timedelta(hours=24)  # of completion: OpenAI's only one


class BatchState(models.TextChoices):
    """OpenAI's words, in the order of a batch's life."""

    VALIDATING = "validating", _("Validating")
    IN_PROGRESS = "in_progress", _("In progress")
    CANCELLING = "cancelling", _("Cancelling")
    FINALIZING = "finalizing", _("Finalizing")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")
    EXPIRED = "expired", _("Expired")
    CANCELLED = "cancelled", _("Cancelled")


S = BatchState
OVER = (S.COMPLETED, S.FAILED, S.EXPIRED, S.CANCELLED)
RUNNING = (S.VALIDATING, S.IN_PROGRESS)


class BatchQuerySet(models.QuerySet["Batch"]):
    def of_key(self, api_key_id: uuid.UUID) -> "BatchQuerySet":
        return self.filter(api_key__in=ApiKey.objects.readable_with(api_key_id))

    def under_way(self) -> "BatchQuerySet":
        return self.exclude(state__in=OVER)

    def due(self) -> "BatchQuerySet":
        """Batches that a driver may take: they are due, and no living driver holds their lease."""
        free = models.Q(leased_until=None) | models.Q(leased_until__lte=Now())
        return self.filter(free, due_at__lte=Now())

    def resting(self) -> "BatchQuerySet":
        """Batches that wait for a moment: until their window opens, or until an engine is back."""
        return self.filter(state__in=RUNNING, paused_at=None, due_at__gt=Now())


class Batch(models.Model):
    """A file of requests that run when there is room (inference/api/batch).

    Any process may change `state` and `paused_at`; the process that holds the lease acts on them.
    """

    is_history = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="batches", db_index=False)
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    subject_id = models.UUIDField()
    data_key_id = models.UUIDField()
    endpoint = models.CharField(max_length=80)
    # Bare ids: a file can be deleted before its batch is.
    input_file_id = models.UUIDField()
    output_file_id = models.UUIDField(null=True)
    error_file_id = models.UUIDField(null=True)
    metadata_ciphertext = models.BinaryField(null=True)
    output_expires_after_s = models.PositiveIntegerField(null=True)
    state = models.CharField(max_length=12, choices=BatchState, default=S.VALIDATING)
    ends_as = models.CharField(max_length=12, choices=BatchState, default=S.COMPLETED)
    problems = models.JSONField(default=list)  # why it failed, in the platform's words only
    model = models.CharField(max_length=LONGEST_NAME, db_default="")  # named by all its lines
    usage = models.JSONField(null=True)  # OpenAI's, once it has ended
    total = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    in_progress_at = models.DateTimeField(null=True)
    cancelling_at = models.DateTimeField(null=True)
    finalizing_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)  # when a driver has work; None: never
    leased_until = models.DateTimeField(null=True)
    lease = models.UUIDField(null=True)  # a driver with another id has lost it

    objects: ClassVar[BatchQuerySet] = BatchQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="batch_tenant_created"),
            models.Index("due_at", name="batch_due", condition=models.Q(due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"batch_{self.id.hex}"

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def is_running(self) -> bool:
        """Returns whether it can be paused, resumed and cancelled."""
        return self.state in RUNNING

    @property
    def is_paused(self) -> bool:
        return self.is_running and self.paused_at is not None

    @property
    def rests_until(self) -> datetime | None:
        """Returns the moment before which nothing of it begins: its window is closed, or its models
        are unavailable. None if a driver has it, or may take it now.
        """
        now, due_at = timezone.now(), self.due_at
        is_driven = self.leased_until is not None and self.leased_until > now
        waits = self.is_running and not (is_driven or self.paused_at)
        return due_at if waits and due_at and due_at > now else None

    @property
    def done(self) -> int:
        return self.completed + self.failed

    # What people do ------------------------------------------------------------------------------
    def cancel(self) -> bool:
        """Cancel the running lines; those that have ended stay. Returns False if it is too late."""
        return self._change(
            RUNNING,
            state=S.CANCELLING,
            ends_as=S.CANCELLED,
            cancelling_at=timezone.now(),
        )

    def pause(self) -> bool:
        """Pause it: running lines finish, no other begins. Its expiry is not postponed."""
        return self._change(RUNNING, paused_at=timezone.now())

    def resume(self) -> bool:
        return self._change(RUNNING, paused_at=None)

    def _change(self, states: tuple[BatchState, ...], **fields: Any) -> bool:
        changed = self._in_states(states).update(**fields, due_at=Now())
        self.refresh_from_db()
        return bool(changed)

    # What its driver does ------------------------------------------------------------------------
    def begin(self, total: int, model: str) -> None:
        now = timezone.now()
        self._in_states((S.VALIDATING,)).update(
            state=S.IN_PROGRESS, in_progress_at=now, total=total, model=model
        )
        self.refresh_from_db()

    def finalize(self, ends_as: BatchState, problems: list[dict[str, Any]] | None = None) -> None:
        """Start writing the results into its files; it ends in the state `ends_as` afterwards."""
        self._in_states(RUNNING).update(
            state=S.FINALIZING,
            finalizing_at=timezone.now(),
            ends_as=ends_as,
            problems=problems or [],
        )
        self.refresh_from_db()

    def end(self, **fields: Any) -> bool:
        """Move it to its final state. Returns False if it is in it already."""
        ended = self._in_states((S.FINALIZING, S.CANCELLING)).update(
            state=models.F("ends_as"),
            ended_at=timezone.now(),
            due_at=None,
            leased_until=None,
            paused_at=None,
            **fields,
        )
        self.refresh_from_db()
        return bool(ended)

    def renew(self, lease: uuid.UUID, length: timedelta) -> bool:
        """Extend the lease and reload the row. Returns False if another driver holds the lease."""
        renewed = Batch.objects.filter(pk=self.pk, lease=lease).update(leased_until=Now() + length)
        if renewed:
            self.refresh_from_db()
        return bool(renewed)

    def release(self, lease: uuid.UUID, due_at: datetime) -> None:
        """Release the lease until `due_at`. A batch changed meanwhile is due at once."""
        mine = Batch.objects.filter(pk=self.pk, lease=lease)
        as_known = mine.filter(state=self.state, paused_at=self.paused_at)
        if not as_known.update(due_at=due_at, leased_until=None):
            mine.update(leased_until=None)

    def _in_states(self, states: tuple[BatchState, ...]) -> BatchQuerySet:
        return Batch.objects.filter(pk=self.pk, state__in=states)


class LineState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class BatchLine(models.Model):
    """One request of a batch: its position in the input, and its outcome.

    Its idempotency key names its completion, from the commit that receives it; the audit trail
    has the answer. `error_ciphertext` is the refusal or the failure.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="lines", db_index=False)
    number = models.PositiveIntegerField()  # of the line in the file, from 1
    offset = models.BigIntegerField()  # bytes
    length = models.PositiveIntegerField()
    model = models.CharField(max_length=LONGEST_NAME, default="")  # "": no served model
    state = models.CharField(max_length=8, choices=LineState, default=LineState.WAITING)
    completion_id = models.UUIDField(null=True)
    earlier = ArrayField(models.UUIDField(), default=list, db_default=[])  # tries that failed
    status = models.PositiveSmallIntegerField(default=0)  # HTTP status, once it has ended
    error_ciphertext = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "number"], name="inference_batchline_once")
        ]

    def __str__(self) -> str:
        return f"{self.batch_id} line {self.number}"
