"""Versions that another person approves before their use: of decision policies, of assistants."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.keys.keyring import keyring
from tenants.models import ApiKey, Tenant
from tenants.models.model_changes import lock

LONGEST_ACTOR = 80
LONGEST_REASON = 1_000  # characters


class ReviewedVersion(models.Model):
    """`state` has labels; `unapproved` refuses a version that nobody has approved.

    Why it was sent back is a text of the tenant, encrypted under the tenant's own key.
    """

    created_by = models.CharField(max_length=LONGEST_ACTOR)
    # The people who wrote it or sent it to review: none of them approves it.
    authors = ArrayField(models.CharField(max_length=LONGEST_ACTOR), default=list, blank=True)
    reviewed_by = models.CharField(max_length=LONGEST_ACTOR, default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    reviewed_at = models.DateTimeField(null=True, blank=True)
    promoted_at = models.DateTimeField(null=True, blank=True)  # None after a roll-back, too
    served_at = models.DateTimeField(null=True, blank=True)  # it first decided or answered

    returned_by = models.CharField(max_length=LONGEST_ACTOR, default="", db_default="", blank=True)
    returned_at = models.DateTimeField(null=True, blank=True)  # to its authors, for the last time
    return_key_id = models.UUIDField(null=True)
    return_ciphertext = models.BinaryField(null=True)

    unapproved: Any  # a lazy text
    if TYPE_CHECKING:
        id: Any
        state: Any
        tenant_id: UUID

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

    # Why it was sent back ------------------------------------------------------------------------
    @property
    def return_reason(self) -> str:
        """Returns "" if it never was. Raises Unreadable, MasterKeyUnavailable."""
        if self.return_ciphertext is None or self.return_key_id is None:
            return ""
        cipher = keyring.by_id_now(self.return_key_id)
        return cipher.decrypt(bytes(self.return_ciphertext), self._return_aad).decode()

    def _note_return(self, reason: str, by: str) -> list[str]:
        """Returns the fields that it changes. Raises ValidationError."""
        reason = reason.strip()
        if not 0 < len(reason) <= LONGEST_REASON or "\0" in reason:
            text = _("Say why, in at most %d characters.") % LONGEST_REASON
            raise ValidationError({"reason": text})
        cipher = keyring.of_subject_now(self.tenant_id, None)
        self.return_key_id = cipher.key_id
        self.return_ciphertext = cipher.encrypt(reason.encode(), self._return_aad)
        self.returned_by, self.returned_at = by, timezone.now()
        return ["returned_by", "returned_at", "return_key_id", "return_ciphertext"]

    @property
    def _return_aad(self) -> bytes:
        names = self._meta.db_table.encode(), self.tenant_id.bytes, self.id.bytes
        return b"%b|%b|%b|return" % names

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
