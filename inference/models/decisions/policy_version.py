"""Versions of a decision policy. What is written in one never changes.

They are texts of the tenant, not of a person: encrypted under the tenant's own key, and not erased
with a person. `inference/decisions/spec.py` is their form.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.trail.record import act
from inference.models.served import LONGEST_NAME
from inference.models.versions.reviewed import ReviewedVersion, people_behind
from tenants.models import ApiKey, Member, Tenant
from tenants.models.model_changes import lock

if TYPE_CHECKING:
    from inference.models.decisions.policy import DecisionPolicy

LONGEST_ACTOR = 80
TRIALS = "system:decisions"  # the actor of a trial's end


class PolicyVersionState(models.TextChoices):
    DRAFT = "draft", gettext_lazy("Draft")
    TRIAL = "trial", gettext_lazy("On trial")
    IN_REVIEW = "in_review", gettext_lazy("In review")
    APPROVED = "approved", gettext_lazy("Approved")
    RETIRED = "retired", gettext_lazy("Retired")


S = PolicyVersionState


class PolicyVersionQuerySet(models.QuerySet["DecisionPolicyVersion"]):
    def due(self) -> Self:
        """Those whose trial is to begin, or to be tried again."""
        return self.filter(due_at__lte=Now()).order_by("due_at")


@dataclass(frozen=True, slots=True)
class Written:
    """The content of a version: packed, and the model that it was made for."""

    spec: bytes
    model: str
    model_version: str = ""


class DecisionPolicyVersion(ReviewedVersion):
    """`trial` is what its trial showed before the review, `report` its evaluation: figures.

    A trial asks the model once, with the limits of who sent the version to review
    (inference/api/policy_trials).
    """

    unapproved = gettext_lazy("Only an approved version may decide: send it to review.")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    policy = models.ForeignKey(
        "inference.DecisionPolicy", models.CASCADE, related_name="versions", db_index=False
    )
    number = models.PositiveIntegerField()
    model = models.CharField(max_length=LONGEST_NAME)
    model_version = models.CharField(max_length=LONGEST_NAME, default="", blank=True)
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()
    state = models.CharField(max_length=10, choices=PolicyVersionState, default=S.DRAFT)
    trial = models.JSONField(null=True, blank=True)
    trial_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    trial_member = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    due_at = models.DateTimeField(null=True, blank=True)  # of its trial; None: never
    report = models.JSONField(null=True, blank=True)

    objects: ClassVar[PolicyVersionQuerySet] = PolicyVersionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint("policy", "number", name="inference_decisionpolicy_version")
        ]
        indexes = [
            models.Index("due_at", name="policyversion_due", condition=Q(due_at__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.policy}@{self.number}"

    @classmethod
    def of(cls, policy: DecisionPolicy, written: Written, *, by: str) -> DecisionPolicyVersion:
        """Returns the policy's latest version, not saved yet."""
        version = cls(
            tenant=policy.tenant,
            policy=policy,
            number=policy.latest,
            model=written.model,
            model_version=written.model_version,
            created_by=by,
            authors=people_behind(policy.tenant, by),
        )
        cipher = keyring.of_subject_now(policy.tenant_id, None)
        version.data_key_id = cipher.key_id
        version.ciphertext = cipher.encrypt(written.spec, version._aad)
        return version

    @property
    def packed_spec(self) -> bytes:
        """Returns what is written. Raises Unreadable, MasterKeyUnavailable."""
        cipher = keyring.by_id_now(self.data_key_id)
        return cipher.decrypt(bytes(self.ciphertext), self._aad)

    # Review --------------------------------------------------------------------------------------
    def submit(self, *, by: str, caller: ApiKey | Member) -> None:
        """Send a draft to review, by way of a trial. Raises ValidationError."""
        with transaction.atomic():
            self._enter(S.TRIAL, S.DRAFT)
            self.trial, self.due_at = {}, timezone.now()
            self.trial_key = caller if isinstance(caller, ApiKey) else None
            self.trial_member = caller if isinstance(caller, Member) else None
            self.authors = list(dict.fromkeys([*self.authors, *people_behind(self.tenant, by)]))
            self.save(
                update_fields=["state", "trial", "due_at", "trial_key", "trial_member", "authors"]
            )
            self.record(Action.POLICY_SUBMIT, by)

    def begin_trial(self, within: timedelta) -> int:
        """Returns the number of this attempt; 0 where another process was faster.

        If it has not ended by then, others try.
        """
        attempts: int = (self.trial or {}).get("attempts", 0) + 1
        trial = {"attempts": attempts}
        if not self._trials().due().update(due_at=Now() + within, trial=trial):
            return 0
        self.trial = trial
        return attempts

    def try_later(self, after: timedelta) -> None:
        self._trials().update(due_at=Now() + after)

    def _trials(self) -> PolicyVersionQuerySet:
        return DecisionPolicyVersion.objects.filter(pk=self.pk, state=S.TRIAL)

    def pass_trial(self, trial: dict[str, Any]) -> None:
        """Let people review it: the model answers as it should."""
        self._end_trial(S.IN_REVIEW, trial)

    def fail_trial(self, problem: str, **detail: Any) -> None:
        """Make it a draft again. `problem` is for programs (console/decisions/words.py)."""
        self._end_trial(S.DRAFT, {"problem": problem, **detail})

    def _end_trial(self, state: PolicyVersionState, trial: dict[str, Any]) -> None:
        with transaction.atomic():
            lock(self)
            if self.state != S.TRIAL:
                return  # another process was faster
            self.state, self.trial, self.due_at = state, trial, None
            self.save(update_fields=["state", "trial", "due_at"])
            problem = {"problem": trial["problem"]} if "problem" in trial else {}
            self.record(Action.POLICY_TRIAL, TRIALS, success=not problem, **problem)

    def approve(self, *, by: str) -> None:
        """Approve it, by another person than its authors. Raises ValidationError."""
        with transaction.atomic():
            self._enter(S.APPROVED, S.IN_REVIEW)
            if by in self.authors:
                raise ValidationError(
                    _("You wrote this version: another person has to approve it.")
                )
            self.reviewed_by, self.reviewed_at = by, timezone.now()
            self.save(update_fields=["state", "reviewed_by", "reviewed_at"])
            self.record(Action.POLICY_APPROVE, by)

    def send_back(self, reason: str, *, by: str) -> None:
        """Make it a draft again, and tell its authors why. Raises ValidationError."""
        with transaction.atomic():
            self._enter(S.DRAFT, S.TRIAL, S.IN_REVIEW)
            self.trial = self.due_at = None
            noted = self._note_return(reason, by)
            self.save(update_fields=["state", "trial", "due_at", *noted])
            self.record(Action.POLICY_SEND_BACK, by)

    def retire(self, *, by: str) -> None:
        """Keep it from ever serving again. Raises ValidationError while it serves."""
        with transaction.atomic():
            lock(self.policy)
            if self.policy.serves(self.number):
                text = _("It has a part in decisions: promote another, or end that part first.")
                raise ValidationError(text)
            self._enter(S.RETIRED, S.DRAFT, S.TRIAL, S.IN_REVIEW, S.APPROVED)
            self.due_at = None
            self.save(update_fields=["state", "due_at"])
            self.record(Action.POLICY_RETIRE, by)

    # Use -----------------------------------------------------------------------------------------
    def note_report(self, report: dict[str, Any], *, by: str) -> None:
        """Keep the figures of an evaluation; an earlier one's are replaced."""
        with transaction.atomic():
            lock(self)
            self.report = report
            self.save(update_fields=["report"])
            self.record(Action.POLICY_REPORT, by)

    def record(self, action: Action, by: str, *, success: bool = True, **detail: str) -> None:
        named = {"policy": str(self.policy_id), "name": self.policy.name, "version": self.number}
        act(action, actor=by, tenant_id=self.tenant_id, success=success, detail={**named, **detail})

    @property
    def _aad(self) -> bytes:
        owner = self.tenant_id.bytes + self.policy_id.bytes
        return b"inference_decisionpolicyversion|%b|%d" % (owner, self.number)
