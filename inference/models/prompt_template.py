"""Prompt templates of a tenant. Their versions never change.

They are texts of the tenant, not of a person: encrypted under the tenant's own key, and not erased
with a person.
"""

import re
import uuid
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.keys.keyring import Cipher, keyring
from audit.trail.record import act
from inference.templating.content import Content, check, packed, unpacked
from tenants.models import Tenant
from tenants.models.model_changes import lock

LONGEST_NAME = 80
NAME = r"[a-z0-9][a-z0-9._-]{0,79}"
MOST, MOST_VERSIONS = 1_000, 1_000  # templates of a tenant, versions of a template
_NAME = re.compile(NAME)


def is_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValidationError(_("A name has lower-case letters, digits and . _ -; 80 at most."))


class PromptTemplate(models.Model):
    """A template that requests call by name. Without a version they get the latest."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="prompt_templates")
    name = models.CharField(max_length=LONGEST_NAME, validators=[is_name])
    latest = models.PositiveIntegerField(default=0)  # number of the latest version
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager["PromptTemplate"]]

    class Meta:
        constraints = [models.UniqueConstraint("tenant", "name", name="inference_template_name")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def create(cls, tenant: Tenant, name: str, content: Content, *, by: str) -> "PromptTemplate":
        """Create a template with its first version. Raises ValidationError."""
        check(content)
        template = cls(tenant=tenant, name=name)
        with transaction.atomic():
            lock(tenant)
            template.full_clean(validate_constraints=False)
            if tenant.prompt_templates.filter(name=name).exists():
                raise ValidationError({"name": _("This name is taken.")})
            if tenant.prompt_templates.count() >= MOST:
                raise ValidationError(_("A tenant has at most %d templates.") % MOST)
            template.save(force_insert=True)
            template._act(Action.TEMPLATE_CREATE, by)
            template._add(content, by)
        return template

    def publish(self, content: Content, *, by: str) -> "PromptTemplateVersion":
        """Add a version and make it the latest. Raises ValidationError."""
        check(content)
        with transaction.atomic():
            lock(self)
            if self.latest >= MOST_VERSIONS:
                raise ValidationError(_("A template has at most %d versions.") % MOST_VERSIONS)
            return self._add(content, by)

    def remove(self, *, by: str) -> None:
        """Delete it with all versions. Requests that name it are refused from then on."""
        with transaction.atomic():
            self._act(Action.TEMPLATE_DELETE, by, versions=self.latest)
            self.delete()

    def version(self, number: int | None = None) -> "PromptTemplateVersion":
        """Returns the version of this number, the latest by default. Raises DoesNotExist."""
        return self.versions.get(number=self.latest if number is None else number)

    def _add(self, content: Content, by: str) -> "PromptTemplateVersion":
        self.latest, self.changed_at = self.latest + 1, timezone.now()
        self.save(update_fields=["latest", "changed_at"])
        version = PromptTemplateVersion(
            tenant=self.tenant, template=self, number=self.latest, created_by=by
        )
        version.encrypt(content, keyring.of_subject_now(self.tenant_id, None))
        version.save(force_insert=True)
        self._act(Action.TEMPLATE_PUBLISH, by, version=version.number)
        return version

    def _act(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"template": str(self.id), "name": self.name, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)


class PromptTemplateVersion(models.Model):
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    template = models.ForeignKey(
        PromptTemplate, models.CASCADE, related_name="versions", db_index=False
    )
    number = models.PositiveIntegerField()
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["PromptTemplateVersion"]]

    class Meta:
        constraints = [
            models.UniqueConstraint("template", "number", name="inference_template_version")
        ]

    def __str__(self) -> str:
        return f"{self.template}@{self.number}"

    def encrypt(self, content: Content, cipher: Cipher) -> None:
        self.data_key_id = cipher.key_id
        self.ciphertext = cipher.encrypt(packed(content), self._aad)

    @property
    def content(self) -> Content:
        """Raises Unreadable, MasterKeyUnavailable."""
        cipher = keyring.by_id_now(self.data_key_id)
        return unpacked(cipher.decrypt(bytes(self.ciphertext), self._aad))

    @property
    def _aad(self) -> bytes:
        owner = self.tenant_id.bytes + self.template_id.bytes
        return b"inference_prompttemplate|%b|%d" % (owner, self.number)
