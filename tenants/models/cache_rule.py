"""Rules that switch cached answers on or off: for a tenant, one of its keys, a model, or both.

The narrowest matching rule applies: key and model, key, model, tenant. Without a rule, answers are
cached for requests that ask for it.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.trail.record import act
from tenants.models.api_key import ApiKey
from tenants.models.tenant import Tenant

MOST = 200  # rules of a tenant


class CacheRule(models.Model):
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="cache_rules")
    api_key = models.ForeignKey(
        ApiKey, models.CASCADE, null=True, blank=True, related_name="cache_rules"
    )
    model = models.CharField(max_length=120, blank=True, default="")  # "": all
    on = models.BooleanField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "api_key", "model"],
                name="tenants_cache_rule_once",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"cache {'on' if self.on else 'off'} for {self.api_key or self.model or self.tenant}"

    @classmethod
    def set(
        cls, tenant: Tenant, *, on: bool, by: str, model: str = "", api_key: ApiKey | None = None
    ) -> "CacheRule":
        """Sets a rule, which applies within a second. Raises ValidationError."""
        if api_key and api_key.tenant_id != tenant.id:
            raise ValidationError({"api_key": _("There is no such key in this tenant.")})
        with transaction.atomic():
            if api_key:
                api_key.lock_in_place()
            if tenant.cache_rules.count() >= MOST:
                raise ValidationError(_("A tenant has at most %d rules.") % MOST)
            rule, _new = cls.objects.update_or_create(
                tenant=tenant, api_key=api_key, model=model.strip(), defaults={"on": on}
            )
            rule._act(by, "on" if on else "off")
        return rule

    def drop(self, *, by: str) -> None:
        with transaction.atomic():
            self._act(by, "dropped")
            self.delete()

    def _act(self, by: str, rule: str) -> None:
        detail: dict[str, Any] = {"rule": rule, "model": self.model}
        if self.api_key_id:
            detail["key"] = str(self.api_key_id)
        act(Action.CACHE_RULE, actor=by, tenant_id=self.tenant_id, detail=detail)
