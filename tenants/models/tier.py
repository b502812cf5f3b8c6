"""Rate limits: those of a tier, and those that a tenant or a key has of its own."""

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
DEFAULTS = {  # of the limits of a tier; 0: none
    "requests_per_minute": 100,
    "burst": 200,
    "tokens_per_minute": 0,
    "max_concurrency": 64,
    "megabytes_in_flight": 32,
    "megabytes_per_day": 10_000,
}
LIMITS = tuple(DEFAULTS)
CHANGEABLE = ("weight", *LIMITS)


class OwnLimits(models.Model):
    """The limits of one tenant or key. None: only those of the level above apply."""

    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"), null=True, blank=True
    )
    burst = models.PositiveIntegerField(_("burst"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens per minute"), null=True, blank=True)
    max_concurrency = models.PositiveIntegerField(_("requests at once"), null=True, blank=True)
    megabytes_in_flight = models.PositiveIntegerField(
        _("megabytes in flight"), null=True, blank=True
    )
    megabytes_per_day = models.PositiveIntegerField(
        _("megabytes stored per day"), null=True, blank=True
    )

    class Meta:
        abstract = True


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
        _("requests per minute"), default=DEFAULTS["requests_per_minute"]
    )
    burst = models.PositiveIntegerField(_("burst"), default=DEFAULTS["burst"])
    tokens_per_minute = models.PositiveIntegerField(
        _("tokens per minute"), default=DEFAULTS["tokens_per_minute"]
    )
    max_concurrency = models.PositiveIntegerField(
        _("requests at once"), default=DEFAULTS["max_concurrency"]
    )
    megabytes_in_flight = models.PositiveIntegerField(
        _("megabytes in flight"), default=DEFAULTS["megabytes_in_flight"]
    )
    megabytes_per_day = models.PositiveIntegerField(
        _("megabytes stored per day"), default=DEFAULTS["megabytes_per_day"]
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
