"""Requests for a higher quota, and the decisions about them."""

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants.models.model_changes import lock
from tenants.models.quotas.quota import MOST, Quota
from tenants.models.tenant import Tenant
from tenants.models.user import User

LONGEST = timedelta(days=31)


class RaiseRefused(Exception):
    """The raise cannot be decided this way."""


class SamePerson(RaiseRefused):
    """The requester may not approve their own raise."""


class OperatorsOnly(RaiseRefused):
    """Only operators may raise a quota that the platform set."""


class Expired(RaiseRefused):
    """The raise would already have ended."""


class AlreadyDecided(RaiseRefused):
    pass


class RaiseState(models.TextChoices):
    REQUESTED = "requested", _("Waits for approval")
    APPROVED = "approved", _("Approved")
    REFUSED = "refused", _("Refused")


class QuotaRaiseQuerySet(models.QuerySet["QuotaRaise"]):
    def of(self, tenant: Tenant) -> "QuotaRaiseQuerySet":
        return self.filter(tenant=tenant)

    def waiting(self) -> "QuotaRaiseQuerySet":
        return self.filter(state=RaiseState.REQUESTED, expires_at__gt=timezone.now())

    def holding(self) -> "QuotaRaiseQuerySet":
        """Returns approved raises that have not expired."""
        return self.filter(state=RaiseState.APPROVED, expires_at__gt=timezone.now())


class QuotaRaise(models.Model):
    """A temporary increase of a quota, requested by one person and approved by another."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="quota_raises")
    quota = models.ForeignKey(Quota, models.CASCADE, related_name="raises")
    amount = models.BigIntegerField(
        _("amount"), validators=[MinValueValidator(1), MaxValueValidator(MOST)]
    )
    reason = models.CharField(_("reason"), max_length=200)
    state = models.CharField(max_length=10, choices=RaiseState, default=RaiseState.REQUESTED)
    requested_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(_("expires"))

    objects: ClassVar[QuotaRaiseQuerySet] = QuotaRaiseQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="tenants_raise_two_people",
                condition=models.Q(requested_by=None)
                | models.Q(decided_by=None)
                | ~models.Q(requested_by=models.F("decided_by")),
            )
        ]

    def __str__(self) -> str:
        return f"+{self.amount} until {self.expires_at:%Y-%m-%d %H:%M}"

    @classmethod
    def ask(
        cls, quota: Quota, amount: int, reason: str, expires_at: datetime, *, user: User, by: str
    ) -> "QuotaRaise":
        """Requests a raise. Raises ValidationError."""
        quota_raise = cls(
            tenant_id=quota.tenant_id,
            quota=quota,
            amount=amount,
            reason=reason.replace("\0", "").strip(),  # PostgreSQL has none in a text
            expires_at=expires_at,
            requested_by=user,
        )
        quota_raise.full_clean(exclude=["decided_by", "decided_at"])
        with transaction.atomic():
            quota_raise.save(force_insert=True)
            quota_raise._act(Action.RAISE_REQUEST, by)
        return quota_raise

    def approve(self, *, user: User, by: str) -> None:
        """Approves it from the next request on. Raises RaiseRefused."""
        self._decide(RaiseState.APPROVED, user, by)

    def refuse(self, *, user: User, by: str) -> None:
        """Refuses it. Raises RaiseRefused."""
        self._decide(RaiseState.REFUSED, user, by)

    def clean(self) -> None:
        if self.expires_at is None:
            return
        if timezone.is_naive(self.expires_at):
            raise ValidationError({"expires_at": _("Say in which time zone.")})
        if not timezone.now() < self.expires_at <= timezone.now() + LONGEST:
            raise ValidationError({"expires_at": _("Choose a time within the next 31 days.")})

    def _decide(self, state: RaiseState, user: User, by: str) -> None:
        with transaction.atomic():
            lock(self)
            self._refuse_to_decide(user)
            if state == RaiseState.APPROVED and self.quota.set_by_platform and not user.is_operator:
                raise OperatorsOnly
            self.state, self.decided_by, self.decided_at = state, user, timezone.now()
            self.save(update_fields=["state", "decided_by", "decided_at"])
            approved = state == RaiseState.APPROVED
            self._act(Action.RAISE_APPROVE if approved else Action.RAISE_REFUSE, by)

    def _refuse_to_decide(self, user: User) -> None:
        if self.state != RaiseState.REQUESTED:
            raise AlreadyDecided
        if self.requested_by_id == user.pk:
            raise SamePerson
        if self.expires_at <= timezone.now():
            raise Expired

    def _act(self, action: Action, by: str) -> None:
        detail = {
            **self.quota.described,
            "raise": str(self.id),
            "amount": self.amount,
            "reason": self.reason,
            "expires_at": self.expires_at.isoformat(),
        }
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)
