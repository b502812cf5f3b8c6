"""Publishable keys of widgets: what a tenant's page shows to everybody.

A widget key opens nothing by itself. A page of its origins gets a short-lived token with it, for
dialogues of one visitor with one assistant; they ask with the limits of an API key of the tenant.
"""

import re
import secrets
import uuid
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants.models import ApiKey, Tenant
from tenants.models.model_changes import changed, lock
from tenants.models.origin import LONGEST_ORIGIN, known_origins

PREFIX = "pk-fb-"
_TEXT = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{24}}")
MOST = 100  # widget keys of a tenant
CHANGEABLE = ("name", "origins")


def minted() -> str:
    return PREFIX + secrets.token_urlsafe(18)


class WidgetKeyQuerySet(models.QuerySet["WidgetKey"]):
    def live(self) -> Self:
        return self.filter(revoked_at=None)


class WidgetKey(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="widget_keys")
    name = models.CharField(_("name"), max_length=80)
    text = models.CharField(max_length=40, unique=True, default=minted, editable=False)
    assistant_id = models.UUIDField()  # a bare id: without its assistant a key opens nothing
    api_key = models.ForeignKey(
        ApiKey, models.SET_NULL, null=True, related_name="widget_keys", verbose_name=_("API key")
    )
    origins = ArrayField(
        models.CharField(max_length=LONGEST_ORIGIN),
        validators=[known_origins],
        verbose_name=_("origins"),
    )
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True)

    objects: ClassVar[WidgetKeyQuerySet] = WidgetKeyQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def is_text(text: str) -> bool:
        return bool(_TEXT.fullmatch(text))

    @classmethod
    def create(
        cls,
        tenant: Tenant,
        name: str,
        assistant_id: uuid.UUID,
        api_key: ApiKey,
        origins: list[str],
        *,
        by: str,
    ) -> "WidgetKey":
        """Create a key. Raises ValidationError."""
        key = cls(tenant=tenant, name=name, assistant_id=assistant_id, api_key=api_key)
        key.origins, key.created_by = origins, by
        with transaction.atomic():
            lock(tenant)
            key.full_clean(exclude=["revoked_at"])
            if tenant.widget_keys.live().count() >= MOST:
                raise ValidationError(_("A tenant has at most %d widget keys.") % MOST)
            key.save(force_insert=True)
            key._act(Action.WIDGET_KEY_CREATE, by, origins=key.origins, api_key=str(api_key.pk))
        return key

    def change(self, *, by: str, **fields: Any) -> None:
        """Set any of CHANGEABLE. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if self.revoked_at:
                raise ValidationError(_("This key has been revoked."))
            if detail := changed(self, fields, CHANGEABLE):
                self.save(update_fields=list(detail))
                self._act(Action.WIDGET_KEY_CHANGE, by, **detail)

    def revoke(self, *, by: str) -> None:
        """Revoke it at once, with all tokens that it gave. Idempotent."""
        with transaction.atomic():
            live = WidgetKey.objects.live().filter(pk=self.pk)
            if live.update(revoked_at=timezone.now()):
                self._act(Action.WIDGET_KEY_REVOKE, by)
        self.refresh_from_db(fields=["revoked_at"])

    def clean(self) -> None:
        """Check that the API key is of the tenant, live, and not replaced by another."""
        self.origins = sorted(set(self.origins))
        problems: dict[str, Any] = {}
        if self.api_key and self.api_key.tenant_id != self.tenant_id:
            problems["api_key"] = _("There is no such key in this tenant.")
        elif self.api_key and self.api_key.revoked_at:
            problems["api_key"] = _("This key has been revoked.")
        elif self.api_key and self.api_key.replaced_by_id:
            problems["api_key"] = _("This key has been rotated already.")
        if problems:
            raise ValidationError(problems)

    def _act(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"widget_key": str(self.pk), "name": self.name, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)
