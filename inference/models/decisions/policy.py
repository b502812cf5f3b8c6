"""Decision policies of a tenant: which of their versions decide.

The champion decides. A challenger decides a share of the requests in its place. A shadow is asked
beside them, and its answer is only recorded.
"""

import uuid
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.trail.record import act
from inference.models.decisions.policy_version import (
    DecisionPolicyVersion,
    PolicyVersionState,
    Written,
)
from inference.models.prompt_template import LONGEST_NAME, is_name
from tenants.models import Tenant
from tenants.models.model_changes import lock

MOST, MOST_VERSIONS = 200, 1_000  # policies of a tenant, versions of a policy
LARGEST_SHARE = 0.5  # of a challenger: the champion decides at least as often


class DecisionPolicy(models.Model):
    """A policy that requests name. Versions are named by number; None: there is none such."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="decision_policies", db_index=False
    )
    name = models.CharField(max_length=LONGEST_NAME, validators=[is_name])
    latest = models.PositiveIntegerField(default=0)  # number of the latest version
    champion = models.PositiveIntegerField(null=True, blank=True)
    challenger = models.PositiveIntegerField(null=True, blank=True)
    challenger_share = models.FloatField(default=0.0)
    shadow = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager["DecisionPolicy"]]

    class Meta:
        constraints = [
            models.UniqueConstraint("tenant", "name", name="inference_decisionpolicy_name"),
            models.CheckConstraint(
                condition=Q(challenger_share__gte=0, challenger_share__lte=LARGEST_SHARE),
                name="inference_decisionpolicy_share",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def create(cls, tenant: Tenant, name: str, written: Written, *, by: str) -> "DecisionPolicy":
        """Create a policy with a first version, a draft. Raises ValidationError.

        `inference.decisions.policies` checks what is written.
        """
        policy = cls(tenant=tenant, name=name)
        with transaction.atomic():
            lock(tenant)
            policy.full_clean(validate_constraints=False)
            if tenant.decision_policies.filter(name=name).exists():
                raise ValidationError({"name": _("This name is taken.")})
            if tenant.decision_policies.count() >= MOST:
                raise ValidationError(_("A tenant has at most %d decision policies.") % MOST)
            policy.save(force_insert=True)
            policy._act(Action.POLICY_CREATE, by)
            policy._add(written, by)
        return policy

    def write(self, written: Written, *, by: str) -> DecisionPolicyVersion:
        """Add a version, a draft. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if self.latest >= MOST_VERSIONS:
                raise ValidationError(_("A policy has at most %d versions.") % MOST_VERSIONS)
            return self._add(written, by)

    def _add(self, written: Written, by: str) -> DecisionPolicyVersion:
        self._set(latest=self.latest + 1)
        version = DecisionPolicyVersion.of(self, written, by=by)
        version.save(force_insert=True)
        self._act(Action.POLICY_WRITE, by, version=version.number)
        return version

    def remove(self, *, by: str) -> None:
        """Delete it with all versions. Raises ValidationError once one of them has served."""
        with transaction.atomic():
            lock(self)
            if self.versions.exclude(served_at=None).exists():
                text = _("Decisions on record name its versions: stop it instead.")
                raise ValidationError(text)
            self._act(Action.POLICY_REMOVE, by, versions=self.latest)
            self.delete()

    # What decides --------------------------------------------------------------------------------
    def promote(self, version: DecisionPolicyVersion, *, by: str) -> None:
        """Let an approved version decide, in all processes within a second."""
        with transaction.atomic():
            lock(self)
            version.refuse_unapproved()
            before = self.champion
            if before == version.number:
                raise ValidationError(_("This version decides already."))
            version.note_promotion()
            self._set(champion=version.number, **self._without(version.number))
            self._act(Action.POLICY_PROMOTE, by, version=version.number, before=before)

    def roll_back(self, *, by: str) -> None:
        """Let the champion before this one decide again. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            before = self.previous
            if before is None:
                raise ValidationError(_("No earlier version can decide again."))
            now = self.champion
            self.versions.filter(number=now or 0).update(promoted_at=None)
            self._set(champion=before.number, **self._without(before.number))
            self._act(Action.POLICY_ROLLBACK, by, version=before.number, before=now)

    @property
    def previous(self) -> DecisionPolicyVersion | None:
        """Returns the version that was promoted last before the champion."""
        rows = self.versions.filter(state=PolicyVersionState.APPROVED).exclude(promoted_at=None)
        return rows.exclude(number=self.champion or 0).order_by("-promoted_at").first()

    def challenge(self, version: DecisionPolicyVersion | None, share: float, *, by: str) -> None:
        """Let a version decide a share of the requests; None ends that. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if version is None:
                self._set(challenger=None, challenger_share=0.0)
                return self._act(Action.POLICY_CHALLENGE, by, version=None)
            self._refuse_beside_champion(version)
            if not 0 < share <= LARGEST_SHARE:
                text = _("The share of a challenger is above 0 and at most %s.")
                raise ValidationError({"share": text % LARGEST_SHARE})
            version.note_use()
            without = self._without(version.number) | {"challenger": version.number}
            self._set(**without, challenger_share=share)
            return self._act(Action.POLICY_CHALLENGE, by, version=version.number, share=share)

    def run_in_shadow(self, version: DecisionPolicyVersion | None, *, by: str) -> None:
        """Ask a version beside the one that decides; None ends that. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            number = version and version.number
            if version is not None:
                self._refuse_beside_champion(version)
                version.note_use()
                self._set(**self._without(version.number))
            self._set(shadow=number)
            self._act(Action.POLICY_SHADOW, by, version=number)

    def stop(self, *, by: str) -> None:
        """Let no version decide: requests are refused within a second."""
        with transaction.atomic():
            lock(self)
            before = self.champion
            self._set(champion=None, challenger=None, challenger_share=0.0, shadow=None)
            self._act(Action.POLICY_STOP, by, before=before)

    def serves(self, number: int) -> bool:
        """Returns whether a version has a part in decisions."""
        return number in (self.champion, self.challenger, self.shadow)

    def _refuse_beside_champion(self, version: DecisionPolicyVersion) -> None:
        version.refuse_unapproved()
        if self.champion is None:
            raise ValidationError(_("No version decides yet: promote one first."))
        if self.champion == version.number:
            raise ValidationError(_("This version decides already."))

    def _without(self, number: int) -> dict[str, Any]:
        """Returns the fields by which a version has no part beside the champion."""
        fields: dict[str, Any] = {}
        if self.challenger == number:
            fields |= {"challenger": None, "challenger_share": 0.0}
        if self.shadow == number:
            fields |= {"shadow": None}
        return fields

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self, name, value)
        self.changed_at = timezone.now()
        self.save(update_fields=[*fields, "changed_at"])

    def _act(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"policy": str(self.id), "name": self.name, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)
