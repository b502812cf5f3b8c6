from typing import Any, ClassVar, Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants.models.model_changes import changed, lock


class Tier(models.TextChoices):
    STANDARD = "standard", _("Standard")
    VIP = "vip", _("VIP")


WEIGHTS = {Tier.STANDARD: 1, Tier.VIP: 4}
REQUESTS_PER_MINUTE, BURST, TOKENS_PER_MINUTE, MAX_CONCURRENCY = 100, 200, 0, 64
MEGABYTES_IN_FLIGHT, MEGABYTES_PER_DAY = 32, 10_000
LIMITS = (
    "requests_per_minute",
    "burst",
    "tokens_per_minute",
    "max_concurrency",
    "megabytes_in_flight",
    "megabytes_per_day",
)
CHANGEABLE = ("weight", *LIMITS)


class TierPolicyQuerySet(models.QuerySet["TierPolicy"]):
    def of(self, tier: str) -> "TierPolicy":
        """Returns the policy that an operator has set, else the default."""
        return self.filter(tier=tier).first() or TierPolicy(tier=tier, weight=WEIGHTS[Tier(tier)])


class TierPolicy(models.Model):
    """The limits of a tier, for tenants without values of their own. 0 means no limit."""

    tier = models.CharField(_("tier"), max_length=10, choices=Tier, primary_key=True)
    weight = models.PositiveSmallIntegerField(
        _("weight"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("Share of the GPUs relative to other tenants."),
    )
    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"), default=REQUESTS_PER_MINUTE
    )
    burst = models.PositiveIntegerField(_("burst"), default=BURST)
    tokens_per_minute = models.PositiveIntegerField(
        _("tokens per minute"), default=TOKENS_PER_MINUTE
    )
    max_concurrency = models.PositiveIntegerField(_("requests at once"), default=MAX_CONCURRENCY)
    megabytes_in_flight = models.PositiveIntegerField(
        _("megabytes in flight"), default=MEGABYTES_IN_FLIGHT
    )
    megabytes_per_day = models.PositiveIntegerField(
        _("megabytes stored per day"), default=MEGABYTES_PER_DAY
    )

    objects: ClassVar[TierPolicyQuerySet] = TierPolicyQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return str(Tier(self.tier).label)

    def change(self, *, by: str, **fields: Any) -> Self:
        """Changes weight and limits. Raises ValidationError."""
        with transaction.atomic():
            if type(self).objects.filter(pk=self.pk).exists():
                lock(self)
            detail = changed(self, fields, CHANGEABLE)
            if detail:
                self.save()
                act(Action.TIER_CHANGE, actor=by, detail={"tier": self.tier, **detail})
        return self
