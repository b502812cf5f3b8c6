"""Evaluations of models by a tenant's task sets, and their reports."""

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.trail.record import act
from inference.evaluation.content import Kind
from inference.models.evaluations.task_set import TaskSet
from inference.models.prompt_template import LONGEST_NAME
from inference.models.served import LONGEST_NAME as LONGEST_MODEL
from infrastructure.postgres import queries
from tenants.models import ApiKey, Member, Tenant

MOST_UNDER_WAY = 20  # of a tenant
LOOK_EVERY = timedelta(seconds=2)  # at the requests of a running one


class EvaluationState(models.TextChoices):
    QUEUED = "queued", gettext_lazy("Waiting")
    RUNNING = "running", gettext_lazy("In progress")
    SUCCEEDED = "succeeded", gettext_lazy("Done")
    FAILED = "failed", gettext_lazy("Failed")
    CANCELLED = "cancelled", gettext_lazy("Cancelled")


S = EvaluationState
UNDER_WAY = (S.QUEUED, S.RUNNING)


class EvaluationQuerySet(models.QuerySet["Evaluation"]):
    def under_way(self) -> Self:
        return self.filter(state__in=UNDER_WAY)

    def over(self) -> Self:
        return self.exclude(state__in=UNDER_WAY)

    def due(self) -> Self:
        """Those that a driver looks after: under way, or ended with requests that are not."""
        return self.filter(due_at__lte=Now())

    def newest_first(self) -> Self:
        return self.order_by("-created_at")


class Evaluation(models.Model):
    """An evaluation of `model`, beside the model `against` where one is named.

    Each side is one request of long work (inference/worker/handlers/evaluation.py). The report has
    figures alone; answers are in the audit trail, under their person's key.
    """

    is_history = True  # keeps its subject's pseudonym: tenants/personal_data/erasure.py

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="evaluations", db_index=False)
    task_set = models.ForeignKey(TaskSet, models.SET_NULL, null=True, related_name="evaluations")
    task_set_name = models.CharField(max_length=LONGEST_NAME)
    task_set_number = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)  # of the task set
    kind = models.CharField(max_length=12, choices=Kind)
    model = models.CharField(max_length=LONGEST_MODEL)
    against = models.CharField(max_length=LONGEST_MODEL, default="", blank=True)
    version = models.CharField(max_length=60, default="")  # of the engines that were asked
    against_version = models.CharField(max_length=60, default="")
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    member = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    subject_id = models.UUIDField()
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField(null=True, default=timezone.now)  # None: never
    ended_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=EvaluationState, default=S.QUEUED)
    error_code = models.CharField(max_length=60, default="")
    total = models.PositiveIntegerField()  # items
    done = models.PositiveIntegerField(default=0)
    against_done = models.PositiveIntegerField(default=0)
    completion_id = models.UUIDField(null=True)
    against_completion_id = models.UUIDField(null=True)
    report = models.JSONField(null=True)

    objects: ClassVar[EvaluationQuerySet] = EvaluationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="evaluation_tenant_created"),
            models.Index(fields=["sha256", "version"], name="evaluation_of_tasks"),
            models.Index("due_at", name="evaluation_due", condition=models.Q(due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.model} by {self.task_set_name}@{self.task_set_number}"

    @classmethod
    def create(
        cls,
        task_set: TaskSet,
        model: str,
        against: str = "",
        *,
        by: str,
        caller: ApiKey | Member,
    ) -> "Evaluation":
        """Queue an evaluation, which asks with the limits of `caller`. Raises ValidationError."""
        tenant = task_set.tenant
        _check(task_set, model, against)
        row = cls(
            tenant=tenant,
            task_set=task_set,
            task_set_name=task_set.name,
            task_set_number=task_set.number,
            sha256=task_set.sha256,
            kind=task_set.kind,
            model=model,
            against=against,
            api_key=caller if isinstance(caller, ApiKey) else None,
            member=caller if isinstance(caller, Member) else None,
            subject_id=caller.subject_id,
            created_by=by,
            total=task_set.test_items,
        )
        with transaction.atomic():
            _refuse_more_under_way(tenant)
            row.save(force_insert=True)
            row._act(Action.EVALUATION_CREATE, by)
        return row

    @property
    def sides(self) -> list[tuple[str, str, uuid.UUID | None]]:
        """Returns the name, the model and the request of each side."""
        ours = [("candidate", self.model, self.completion_id)]
        theirs = [("against", self.against, self.against_completion_id)]
        return ours + theirs if self.against else ours

    @property
    def percent(self) -> int:
        items = self.total * len(self.sides)
        return 100 * (self.done + self.against_done) // items if items else 0

    @property
    def is_over(self) -> bool:
        return self.state not in UNDER_WAY

    def cancel(self, *, by: str) -> "Evaluation":
        """Cancel it. What has been asked is billed; a repeated call changes nothing."""
        with transaction.atomic():
            if self._end(S.CANCELLED, due_at=Now()):
                self._act(Action.EVALUATION_CANCEL, by)
        return self

    def remove(self, *, by: str) -> None:
        """Delete it with its report. Raises ValidationError while it is under way."""
        if not self.is_over:
            raise ValidationError(_("It is under way: cancel it first."))
        with transaction.atomic():
            self._act(Action.EVALUATION_DELETE, by)
            self.delete()

    # What its driver does ------------------------------------------------------------------------
    def began(self, side: str, completion_id: uuid.UUID) -> None:
        """Note the request of a side."""
        field = "completion_id" if side == "candidate" else "against_completion_id"
        setattr(self, field, completion_id)
        rows = Evaluation.objects.filter(pk=self.pk)
        rows.update(**{field: completion_id})
        rows.filter(state=S.QUEUED).update(state=S.RUNNING)
        self.refresh_from_db(fields=["state"])

    def look_again(self, after: timedelta = LOOK_EVERY) -> None:
        Evaluation.objects.filter(pk=self.pk).update(due_at=Now() + after)

    def rest(self) -> None:
        """Look after it no more: none of its requests is under way."""
        Evaluation.objects.over().filter(pk=self.pk).update(due_at=None)

    def succeed(self, report: dict[str, Any]) -> None:
        fields = {"report": report, "version": version_in(report["candidate"])}
        if report["against"]:
            fields["against_version"] = version_in(report["against"])
        self._conclude(S.SUCCEEDED, due_at=None, **fields)

    def fail(self, code: str) -> None:
        self._conclude(S.FAILED, error_code=code[:60])

    def _conclude(self, state: EvaluationState, **fields: Any) -> None:
        with transaction.atomic():
            if self._end(state, **fields):
                self._act(Action.EVALUATION_END, self.created_by, state=str(state))

    def _end(self, state: EvaluationState, **fields: Any) -> bool:
        """End it. Returns False if it was over."""
        rows = Evaluation.objects.under_way().filter(pk=self.pk)
        ended = rows.update(state=state, ended_at=timezone.now(), **fields)
        self.refresh_from_db()
        return bool(ended)

    def _act(self, action: Action, by: str, **more: str) -> None:
        detail = {"evaluation": str(self.id), "task_set": self.task_set_name, "model": self.model}
        detail |= {"against": self.against} if self.against else {}
        detail |= {"sha256": self.sha256, **more}
        tenant_id, subject_id = self.tenant_id, self.subject_id
        act(action, actor=by, tenant_id=tenant_id, subject_id=subject_id, detail=detail)


def note_progress(evaluation_id: uuid.UUID, side: str, done: int) -> None:
    """Note how many items of a side are done."""
    field = "done" if side == "candidate" else "against_done"
    Evaluation.objects.under_way().filter(pk=evaluation_id).update(**{field: done})


def version_in(side: dict[str, Any]) -> str:
    """Returns the version that a side of a report had."""
    versions: list[str] = side["versions"]
    return versions[0] if versions else ""


def _check(task_set: TaskSet, model: str, against: str) -> None:
    if task_set.kind == Kind.AGREEMENT and not against:
        raise ValidationError({"against": _("An agreement needs a second model.")})
    if model == against:
        raise ValidationError({"against": _("A model always agrees with itself: name another.")})


def _refuse_more_under_way(tenant: Tenant) -> None:
    """Lock their number until the transaction ends. Raises ValidationError."""
    queries.lock(f"evaluations:{tenant.pk}")
    if tenant.evaluations.under_way().count() >= MOST_UNDER_WAY:
        text = _("At most %d evaluations are under way at once: wait for one to end.")
        raise ValidationError(text % MOST_UNDER_WAY)
