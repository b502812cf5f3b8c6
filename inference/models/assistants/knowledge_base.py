"""Knowledge bases of a tenant: documents, in passages that a question is compared with."""

import secrets
import uuid
from typing import Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.trail.record import act
from inference.models.prompt_template import LONGEST_NAME, is_name
from inference.models.served import LONGEST_NAME as LONGEST_MODEL
from tenants.models import Tenant
from tenants.models.model_changes import lock

MOST = 100  # knowledge bases of a tenant
SECRET = 64  # bytes, from which the base's other keys are derived


class KnowledgeBaseQuerySet(models.QuerySet["KnowledgeBase"]):
    def present(self) -> Self:
        return self.filter(deleted_at=None)


class KnowledgeBase(models.Model):
    """A base. Its model embeds documents and questions, and never changes.

    `secret` turns the vectors and hashes the words of the base (inference/knowledge/base_keys.py).
    It is encrypted under a key of the base's own: the base's id is the subject of that key, which
    `inference/knowledge/deleting.py` destroys.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="knowledge_bases")
    name = models.CharField(max_length=LONGEST_NAME, validators=[is_name])
    model = models.CharField(max_length=LONGEST_MODEL)
    data_key_id = models.UUIDField()
    secret = models.BinaryField()
    dimensions = models.PositiveSmallIntegerField(default=0)  # of its vectors; 0: it has none yet
    stored_bytes = models.BigIntegerField(default=0)  # of its documents, as they were uploaded
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)  # its rows go in the background

    objects: ClassVar[KnowledgeBaseQuerySet] = KnowledgeBaseQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                name="inference_knowledge_name",
                condition=models.Q(deleted_at=None),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def create(cls, tenant: Tenant, name: str, model: str, *, by: str) -> "KnowledgeBase":
        """Create an empty base. Raises ValidationError.

        `inference/knowledge/creating.py` checks that the tenant may use the model, and that
        PostgreSQL can store vectors.
        """
        base = cls(tenant=tenant, name=name, model=model, created_by=by)
        with transaction.atomic():
            lock(tenant)
            base.full_clean(
                exclude=["data_key_id", "secret", "deleted_at"], validate_constraints=False
            )
            if tenant.knowledge_bases.present().filter(name=name).exists():
                raise ValidationError({"name": _("This name is taken.")})
            if tenant.knowledge_bases.present().count() >= MOST:
                raise ValidationError(_("A tenant has at most %d knowledge bases.") % MOST)
            base._encrypt(secrets.token_bytes(SECRET))
            base.save(force_insert=True)
            base.record(Action.KNOWLEDGE_CREATE, by)
        return base

    @property
    def clear_secret(self) -> bytes:
        """Raises Unreadable, MasterKeyUnavailable."""
        cipher = keyring.by_id_now(self.data_key_id)
        return cipher.decrypt(bytes(self.secret), self._aad)

    def record(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"knowledge_base": str(self.id), "name": self.name, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)

    def _encrypt(self, clear: bytes) -> None:
        cipher = keyring.of_subject_now(self.tenant_id, self.id)
        self.data_key_id, self.secret = cipher.key_id, cipher.encrypt(clear, self._aad)

    @property
    def _aad(self) -> bytes:
        return b"inference_knowledgebase|%b|%b|secret" % (self.tenant_id.bytes, self.id.bytes)
