"""Jobs: long work of the trainer on the GPUs of a pool, in the words of its life."""

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from inference.models.model_version import ModelVersion
from inference.models.served import LONGEST_NAME
from tenants.models import ApiKey, Tenant
from tenants.models.model_changes import lock

PREFIXES = {"fine-tune": "ftjob-"}  # of public ids: OpenAI's for fine-tuning
PLATFORM = "platform"  # the actor of what nobody has ordered


class JobKind(models.TextChoices):
    """The kinds of the trainer (trainer/order.py)."""

    FINE_TUNE = "fine-tune", _("Fine-tuning")
    PRETRAIN = "pretrain", _("Continued pre-training")
    DISTIL = "distil", _("Pruning and distillation")
    QUANTISE = "quantise", _("Quantisation")
    CONVERT = "convert", _("Conversion")
    PREPARE = "prepare", _("Data preparation")
    SCORE = "score", _("Scoring")


class JobState(models.TextChoices):
    VALIDATING = "validating", _("Validating")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


S = JobState
OVER = (S.SUCCEEDED, S.FAILED, S.CANCELLED)
UNDER_WAY = (S.VALIDATING, S.QUEUED, S.RUNNING)


class WrongState(Exception):
    """The job's state does not allow the act; `state` is the present one."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the job is {state}")
        self.state = state


class TooManyUnderWay(WrongState):
    """The tenant has as many jobs under way as it may have."""

    def __init__(self) -> None:
        super().__init__(S.PAUSED)
        most = settings.JOBS_UNDER_WAY
        self.args = (f"{most} jobs of this tenant are under way, which is the most",)


class JobQuerySet(models.QuerySet["Job"]):
    def of_key(self, api_key_id: uuid.UUID) -> "JobQuerySet":
        return self.filter(api_key__in=ApiKey.objects.readable_with(api_key_id))

    def unfinished(self) -> "JobQuerySet":
        return self.exclude(state__in=OVER)

    def under_way(self) -> "JobQuerySet":
        return self.filter(state__in=UNDER_WAY)

    def reading(self, file_id: uuid.UUID) -> "JobQuerySet":
        """Jobs over this file."""
        training = models.Q(training_file_id=file_id)
        return self.filter(training | models.Q(validation_file_id=file_id))

    def of_version(self, version: ModelVersion) -> "JobQuerySet":
        """Jobs whose base or adapter is this version."""
        jobs = self.filter(tenant=version.tenant_id) if version.tenant_id else self
        adapter = models.Q(parameters__adapter=str(version))
        return jobs.filter(adapter | models.Q(base_version_id=version.pk))

    def file_ids(self) -> set[uuid.UUID]:
        """Returns the ids of the files that they read."""
        pairs = self.values_list("training_file_id", "validation_file_id")
        return {pk for pair in pairs for pk in pair if pk}


class Job(models.Model):
    """A job of one of the trainer's kinds.

    Its work is one order after the other in the fair queue of `pool`: an order ends when the job
    is done, is paused, or has used up what its quota had set aside. `order_id` is the open one.
    Texts of people (a suffix, metadata) are in `ciphertext`; `problems` has the platform's words.
    """

    is_history = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="jobs", db_index=False)
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    # Bare ids: what a job refers to can be deleted before it.
    member_id = models.UUIDField(null=True)
    team_id = models.UUIDField(null=True)
    subject_id = models.UUIDField()
    data_key_id = models.UUIDField()
    actor = models.CharField(max_length=60)
    kind = models.CharField(max_length=12, choices=JobKind)
    state = models.CharField(max_length=10, choices=JobState, default=S.VALIDATING)
    reason = models.CharField(max_length=60, default="")  # a code: why it is paused, or failed
    problems = models.JSONField(default=list)  # [{code, message, line}], in the platform's words
    model = models.CharField(max_length=LONGEST_NAME)  # the served model of its pool
    pool = models.CharField(max_length=LONGEST_NAME)
    base = models.CharField(max_length=LONGEST_NAME, default="")  # as the order names it
    base_version_id = models.UUIDField(null=True)
    training_file_id = models.UUIDField(null=True)
    validation_file_id = models.UUIDField(null=True)
    data_set_version_id = models.UUIDField(null=True)
    data_subjects = models.JSONField(default=list)  # ids of the people whose files it reads
    parameters = models.JSONField(default=dict)  # of the trainer
    seed = models.BigIntegerField(default=0)
    ciphertext = models.BinaryField(null=True)
    order_id = models.UUIDField(null=True)
    orders = models.PositiveIntegerField(default=0)  # so far
    gpu_ms = models.BigIntegerField(default=0)  # of orders that are settled
    cost = models.BigIntegerField(default=0)  # of these, in micro-units of the currency
    done = models.BigIntegerField(default=0)  # of `of` in `unit`
    of = models.BigIntegerField(default=0)  # 0: not known yet
    unit = models.CharField(max_length=12, default="steps")
    tokens = models.BigIntegerField(default=0)
    active_ms = models.BigIntegerField(default=0)  # of `done`, so that the rest can be estimated
    result = models.JSONField(null=True)  # figures of a succeeded one
    result_version_id = models.UUIDField(null=True)
    result_data_set_version_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    validated_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)  # when the driver looks at it; None: never

    objects: ClassVar[JobQuerySet] = JobQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="job_tenant_created"),
            models.Index("due_at", name="job_due", condition=models.Q(due_at__isnull=False)),
            models.Index("order_id", name="job_order", condition=models.Q(order_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"{PREFIXES.get(self.kind, 'job-')}{self.id.hex}"

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def time_left(self) -> timedelta | None:
        """Returns the GPU time that the rest is likely to take; None before that is known."""
        if self.is_over or not (self.of and self.done):
            return None
        rest_ms = self.active_ms * max(0, self.of - self.done) / self.done
        return timedelta(milliseconds=round(rest_ms))

    # What people do ------------------------------------------------------------------------------
    def pause(self, *, by: str, reason: str = "by_request") -> None:
        """Stop after the present step, and keep what there is. Raises WrongState."""
        with transaction.atomic():
            self._enter(S.PAUSED, UNDER_WAY, reason=reason, paused_at=timezone.now())
            self._act(Action.JOB_PAUSE, by, {"reason": reason})

    def resume(self, *, by: str) -> None:
        """Go on from the last checkpoint. Raises WrongState, TooManyUnderWay."""
        with transaction.atomic():
            refuse_more_under_way(self.tenant_id)
            state = S.QUEUED if self.validated_at else S.VALIDATING
            self._enter(state, (S.PAUSED,), reason="", paused_at=None)
            self._act(Action.JOB_RESUME, by)

    def cancel(self, *, by: str) -> None:
        """End it for good; its checkpoints stay. Raises WrongState."""
        with transaction.atomic():
            self._enter(S.CANCELLED, (*UNDER_WAY, S.PAUSED), ended_at=timezone.now())
            self._act(Action.JOB_CANCEL, by)

    # What the platform does ----------------------------------------------------------------------
    def finish_validation(self) -> None:
        """Have it queued. Raises WrongState."""
        self._enter(S.QUEUED, (S.VALIDATING,), validated_at=timezone.now())

    def begin(self, order_id: uuid.UUID) -> bool:
        """Note that a worker has begun this order. Returns False if the job does not want it."""
        fields = {"state": S.RUNNING, "started_at": Coalesce("started_at", Now())}
        mine = Job.objects.filter(pk=self.pk, order_id=order_id, state__in=(S.QUEUED, S.RUNNING))
        began = bool(mine.update(**fields))
        self.refresh_from_db()
        return began

    def fail(self, code: str, problems: list[dict[str, Any]]) -> None:
        """End it as failed. Raises WrongState."""
        with transaction.atomic():
            fields = {"reason": code, "problems": problems, "ended_at": timezone.now()}
            self._enter(S.FAILED, (*UNDER_WAY, S.PAUSED), **fields)
            self._act(Action.JOB_FAIL, PLATFORM, {"reason": code}, success=False)

    def succeed(self) -> None:
        """End it as succeeded; what it made is in `result`. Raises WrongState."""
        with transaction.atomic():
            self._enter(S.SUCCEEDED, (*UNDER_WAY, S.PAUSED), ended_at=timezone.now())
            version = self.result_version_id or self.result_data_set_version_id
            self._act(Action.JOB_SUCCEED, PLATFORM, {"made": str(version)} if version else {})

    def _enter(self, state: JobState, before: tuple[JobState, ...], **fields: Any) -> None:
        """Change the state, and have the driver look. Raises WrongState."""
        with transaction.atomic():
            lock(self)
            if self.state not in before:
                raise WrongState(self.state)
            self.state, self.due_at = state, timezone.now()
            for name, value in fields.items():
                setattr(self, name, value)
            self.save(update_fields=["state", "due_at", *fields])

    def _act(
        self, action: Action, by: str, detail: dict[str, str] | None = None, *, success: bool = True
    ) -> None:
        about = {"job": self.public_id, "kind": str(self.kind), **(detail or {})}
        act(
            action,
            actor=by,
            tenant_id=self.tenant_id,
            subject_id=self.subject_id,
            success=success,
            detail=about,
        )

    # Its orders ----------------------------------------------------------------------------------
    def note_order(self, order_id: uuid.UUID) -> None:
        """Note the order that goes on with it. The row must be locked."""
        self.order_id, self.orders = order_id, self.orders + 1
        self.save(update_fields=["order_id", "orders"])

    def note_settlement(self, gpu_ms: int, cost: int) -> None:
        """Add what its order took, which is settled. The row must be locked."""
        self.order_id = None
        self.gpu_ms, self.cost = self.gpu_ms + gpu_ms, self.cost + cost
        self.save(update_fields=["order_id", "gpu_ms", "cost"])


def lock_number_under_way(tenant_id: uuid.UUID) -> None:
    """Lock the number of jobs under way until the transaction ends."""
    with transaction.get_connection().cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"jobs:{tenant_id}"]
        )


def refuse_more_under_way(tenant_id: uuid.UUID) -> None:
    """Lock the number of jobs under way as well. Raises TooManyUnderWay."""
    lock_number_under_way(tenant_id)
    under_way = Job.objects.filter(tenant_id=tenant_id).under_way()
    if under_way.count() >= settings.JOBS_UNDER_WAY:
        raise TooManyUnderWay
