"""Aliases of a tenant: names that its requests may use for a served model, or for an adapter.

A name that is served to the tenant is never an alias: where both exist, the served one answers
(`inference/intake/access/allowed.py`).
"""

import re
from typing import ClassVar
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.trail.record import act
from inference.models.served import LONGEST_NAME
from tenants.models import Tenant
from tenants.models.model_changes import lock

MOST = 100  # aliases of a tenant
# The names of hosted models, as clients have them: `claude-opus-4-5`, `openai/gpt-5`, `qwen3:8b`.
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:/@+-]{{0,{LONGEST_NAME - 1}}}")


def is_alias(name: str) -> None:
    if not _NAME.fullmatch(name):
        text = _("An alias has letters, digits and . _ : / @ + -; %d at most.")
        raise ValidationError(text % LONGEST_NAME)


class ModelAlias(models.Model):
    """A name, and the model or adapter that answers requests to it."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="model_aliases", db_index=False)
    name = models.CharField(max_length=LONGEST_NAME, validators=[is_alias])
    model = models.CharField(max_length=LONGEST_NAME)  # by name: it may be gone
    created_by = models.CharField(max_length=60)  # who set it last
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager["ModelAlias"]]

    class Meta:
        constraints = [models.UniqueConstraint("tenant", "name", name="inference_alias_name")]

    def __str__(self) -> str:
        return f"{self.name} -> {self.model}"

    @classmethod
    def create(cls, tenant: Tenant, name: str, model: str, *, by: str) -> "ModelAlias":
        """Create an alias. Raises ValidationError.

        `inference.intake.access.aliasing` checks that the tenant may use the model.
        """
        alias = cls(tenant=tenant, name=name, model=model, created_by=by)
        with transaction.atomic():
            lock(tenant)
            alias.full_clean(validate_constraints=False)
            if tenant.model_aliases.filter(name=name).exists():
                raise ValidationError({"name": _("This name is taken.")})
            if tenant.model_aliases.count() >= MOST:
                raise ValidationError(_("A tenant has at most %d aliases.") % MOST)
            alias.save(force_insert=True)
            alias._act(Action.ALIAS_CREATE, by)
        return alias

    def change(self, model: str, *, by: str) -> "ModelAlias":
        """Let another model answer, in all processes within a second."""
        with transaction.atomic():
            lock(self)
            before = self.model
            if model != before:
                self.model, self.created_by, self.changed_at = model, by, timezone.now()
                self.save(update_fields=["model", "created_by", "changed_at"])
                self._act(Action.ALIAS_CHANGE, by, before=before)
        return self

    def remove(self, *, by: str) -> None:
        """Delete it. Requests to the name are a 404 within a second."""
        with transaction.atomic():
            self._act(Action.ALIAS_REMOVE, by)
            self.delete()

    def _act(self, action: Action, by: str, **detail: str) -> None:
        detail = {"alias": self.name, "model": self.model, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)
