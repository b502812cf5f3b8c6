"""Labelled rows put to a version of a decision policy: for a report, or to fit a calibration.

The rows are what a tenant uploads: encrypted under the tenant's own key, and deleted as soon as the
last of them is scored. A report has figures alone.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.keys.keyring import Unreadable, keyring
from audit.trail.record import act
from inference.models.decisions.policy_version import LONGEST_ACTOR, DecisionPolicyVersion
from inference.models.evaluations.evaluation import UNDER_WAY, EvaluationState
from infrastructure.postgres import queries
from tenants.models import ApiKey, Member, Tenant

MOST_UNDER_WAY = 10  # of a tenant
LEASE = timedelta(seconds=60)
MOST_FAILURES = 20  # of one row


class PolicyPurpose(models.TextChoices):
    """A report, or a fit on the rows: of a calibration, or of the weights of model and tree."""

    REPORT = "report", gettext_lazy("Report")
    TEMPERATURE = "temperature", gettext_lazy("Calibrate: temperature")
    PLATT = "platt", gettext_lazy("Calibrate: Platt")
    ISOTONIC = "isotonic", gettext_lazy("Calibrate: isotonic")
    STACK = "stack", gettext_lazy("Combine the model and the tree")


class PolicyEvaluationQuerySet(models.QuerySet["PolicyEvaluation"]):
    def under_way(self) -> Self:
        return self.filter(state__in=UNDER_WAY)

    def over(self) -> Self:
        return self.exclude(state__in=UNDER_WAY)

    def due(self) -> Self:
        """Those that nobody works on."""
        free = Q(leased_until=None) | Q(leased_until__lte=Now())
        return self.under_way().filter(free, due_at__lte=Now())

    def claim(self) -> PolicyEvaluation | None:
        """Returns one to work on until its lease ends; None if none is due."""
        with transaction.atomic():
            row = self.due().select_for_update(skip_locked=True, of=("self",)).order_by("due_at")
            chosen = row.first()
            if chosen:
                chosen.renew()
        return chosen


class PolicyEvaluation(models.Model):
    """`scores` has the model's raw score of each row so far, until the evaluation is over."""

    is_history = True  # keeps its subject's pseudonym: tenants/personal_data/erasure.py

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="policy_evaluations", db_index=False
    )
    version = models.ForeignKey(
        DecisionPolicyVersion, models.CASCADE, related_name="evaluations", db_index=False
    )
    purpose = models.CharField(max_length=12, choices=PolicyPurpose, default=PolicyPurpose.REPORT)
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    member = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    subject_id = models.UUIDField()
    created_by = models.CharField(max_length=LONGEST_ACTOR)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField(default=timezone.now)
    leased_until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=EvaluationState, default=EvaluationState.QUEUED)
    error_code = models.CharField(max_length=60, default="", blank=True)
    total = models.PositiveIntegerField()  # rows
    data_key_id = models.UUIDField(null=True, blank=True)
    ciphertext = models.BinaryField(null=True, blank=True)  # of the rows; None once it is over
    scores = models.JSONField(default=list, blank=True)
    failures = models.PositiveSmallIntegerField(default=0, db_default=0)  # of the next row's engine
    report = models.JSONField(null=True, blank=True)
    written = models.PositiveIntegerField(null=True, blank=True)  # number of the fitted version

    objects: ClassVar[PolicyEvaluationQuerySet] = PolicyEvaluationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="policy_evaluation_created"),
            models.Index("due_at", name="policy_evaluation_due", condition=Q(state__in=UNDER_WAY)),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.version}"

    @classmethod
    def create(
        cls,
        version: DecisionPolicyVersion,
        rows: bytes,
        total: int,
        purpose: str = PolicyPurpose.REPORT,
        *,
        by: str,
        caller: ApiKey | Member,
    ) -> PolicyEvaluation:
        """Queue an evaluation, which asks with the limits of `caller`. Raises ValidationError.

        `inference/decisions/evaluating.py` reads the file that the rows come from.
        """
        row = cls(
            tenant=version.tenant,
            version=version,
            purpose=purpose,
            api_key=caller if isinstance(caller, ApiKey) else None,
            member=caller if isinstance(caller, Member) else None,
            subject_id=caller.subject_id,
            created_by=by,
            total=total,
        )
        row._encrypt(rows)
        with transaction.atomic():
            row._refuse_more_under_way()
            row.save(force_insert=True)
            row._act(Action.EVALUATION_CREATE, by)
        return row

    @property
    def rows(self) -> bytes:
        """Returns the rows. Raises Unreadable, also once they are deleted; MasterKeyUnavailable."""
        if self.data_key_id is None or self.ciphertext is None:
            raise Unreadable("the rows are deleted")
        return keyring.by_id_now(self.data_key_id).decrypt(bytes(self.ciphertext), self._aad)

    @property
    def is_over(self) -> bool:
        return self.state not in UNDER_WAY

    @property
    def percent(self) -> int:
        return 100 * len(self.scores) // self.total if not self.is_over else 100

    def cancel(self, *, by: str) -> PolicyEvaluation:
        """Cancel it. What has been asked is billed; a repeated call changes nothing."""
        with transaction.atomic():
            if self._end(EvaluationState.CANCELLED):
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
    def renew(self) -> bool:
        """Keep it for a minute more. Returns whether it is still under way."""
        rows = PolicyEvaluation.objects.under_way().filter(pk=self.pk)
        return bool(rows.update(leased_until=Now() + LEASE, state=EvaluationState.RUNNING))

    def note(self, scores: list[float]) -> bool:
        """Keep the scores so far. Returns whether it is still under way."""
        if len(scores) > len(self.scores):
            self.failures = 0
        self.scores = scores
        rows = PolicyEvaluation.objects.under_way().filter(pk=self.pk)
        fields = {"scores": scores, "failures": self.failures}
        return bool(rows.update(leased_until=Now() + LEASE, **fields))

    def wait(self, after: timedelta) -> None:
        """Go on later, from the scores so far."""
        rows = PolicyEvaluation.objects.under_way().filter(pk=self.pk)
        rows.update(due_at=Now() + after, leased_until=None)

    def wait_for_row(self, after: timedelta, code: str) -> None:
        """Ask for the next row again later; fail with this code once engines often failed at it."""
        if self.failures + 1 >= MOST_FAILURES:
            self.fail(code)
            return
        PolicyEvaluation.objects.filter(pk=self.pk).update(failures=F("failures") + 1)
        self.wait(after)

    def succeed(self, report: dict[str, Any] | None = None, written: int | None = None) -> None:
        self._conclude(EvaluationState.SUCCEEDED, report=report, written=written)

    def fail(self, code: str) -> None:
        self._conclude(EvaluationState.FAILED, error_code=code[:60])

    def _conclude(self, state: EvaluationState, **fields: Any) -> None:
        with transaction.atomic():
            if self._end(state, **fields):
                self._act(Action.EVALUATION_END, self.created_by, state=str(state))

    def _end(self, state: EvaluationState, **fields: Any) -> bool:
        """End it, without its rows. Returns False if it was over."""
        rows = PolicyEvaluation.objects.under_way().filter(pk=self.pk)
        gone: dict[str, Any] = {
            "ciphertext": None,
            "data_key_id": None,
            "scores": [],
            "leased_until": None,
        }
        ended = rows.update(state=state, ended_at=timezone.now(), **gone, **fields)
        self.refresh_from_db()
        return bool(ended)

    def _encrypt(self, rows: bytes) -> None:
        cipher = keyring.of_subject_now(self.tenant_id, None)
        self.data_key_id = cipher.key_id
        self.ciphertext = cipher.encrypt(rows, self._aad)

    def _refuse_more_under_way(self) -> None:
        """Lock their number until the transaction ends. Raises ValidationError."""
        queries.lock(f"policy-evaluations:{self.tenant_id}")
        if PolicyEvaluation.objects.under_way().filter(tenant=self.tenant_id).count() >= (
            MOST_UNDER_WAY
        ):
            text = _("At most %d evaluations are under way at once: wait for one to end.")
            raise ValidationError(text % MOST_UNDER_WAY)

    def _act(self, action: Action, by: str, **more: str) -> None:
        detail: dict[str, Any] = {"evaluation": str(self.id), "policy": self.version.policy.name}
        detail |= {"version": self.version.number, "purpose": str(self.purpose), **more}
        tenant_id, subject_id = self.tenant_id, self.subject_id
        act(action, actor=by, tenant_id=tenant_id, subject_id=subject_id, detail=detail)

    @property
    def _aad(self) -> bytes:
        return b"inference_policyevaluation|%b|%b" % (self.tenant_id.bytes, self.id.bytes)
