"""Versions that another person approves before their use: of decision policies, of assistants."""

from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _

from tenants.models import ApiKey, Tenant
from tenants.models.model_changes import lock

LONGEST_ACTOR = 80


class ReviewedVersion(models.Model):
    """`state` has labels; `unapproved` refuses a version that nobody has approved."""

    created_by = models.CharField(max_length=LONGEST_ACTOR)
    # The people who wrote it or sent it to review: none of them approves it.
    authors = ArrayField(models.CharField(max_length=LONGEST_ACTOR), default=list, blank=True)
    reviewed_by = models.CharField(max_length=LONGEST_ACTOR, default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    reviewed_at = models.DateTimeField(null=True, blank=True)
    promoted_at = models.DateTimeField(null=True, blank=True)  # None after a roll-back, too
    served_at = models.DateTimeField(null=True, blank=True)  # it first decided or answered

    unapproved: Any  # a lazy text
    if TYPE_CHECKING:
        state: Any

    class Meta:
        abstract = True

    def refuse_unapproved(self) -> None:
        """Lock it. Raises ValidationError for one that was not approved."""
        lock(self)
        if self.state != "approved":
            raise ValidationError(self.unapproved)

    def note_use(self) -> None:
        self.served_at = self.served_at or timezone.now()
        self.save(update_fields=["served_at"])

    def note_promotion(self) -> None:
        self.promoted_at = timezone.now()
        self.served_at = self.served_at or self.promoted_at
        self.save(update_fields=["served_at", "promoted_at"])

    def _enter(self, state: models.TextChoices, *before: models.TextChoices) -> None:
        """Raises ValidationError if it is in another state than those before."""
        lock(self)
        if self.state not in before:
            now = type(state)(self.state).label
            raise ValidationError(_("This is not possible now: the version is in state %s.") % now)
        self.state = state


def people_behind(tenant: Tenant, actor: str) -> list[str]:
    """Returns the actor, and of a key those who made, widened or rotated it."""
    kind, _colon, number = actor.partition(":")
    key: ApiKey | None = tenant.api_keys.filter(pk=number).first() if kind == "key" else None
    return [actor, *key.grantors] if key else [actor]
