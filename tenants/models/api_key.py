import uuid
from datetime import timedelta
from typing import ClassVar

from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.record import act
from tenants import secret_keys
from tenants.models.member import Member
from tenants.models.tenant import Tenant


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self) -> "ApiKeyQuerySet":
        return self.filter(revoked_at=None)


class ApiKey(models.Model):
    """A secret that speaks for a tenant. Its text is shown once and never stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="api_keys")
    name = models.CharField(_("name"), max_length=80)
    public_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField(unique=True)
    created_by = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    subject_id = models.UUIDField(default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(null=True)

    objects: ClassVar[ApiKeyQuerySet] = ApiKeyQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.name} ({secret_keys.PREFIX}{self.public_id}…)"

    @property
    def actor(self) -> str:
        return f"key:{self.id}"

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @classmethod
    def issue(
        cls,
        tenant: Tenant,
        name: str,
        *,
        by: str,
        created_by: Member | None = None,
        days: int | None = None,
    ) -> tuple["ApiKey", str]:
        """The key and its text, which cannot be had again."""
        secret = secret_keys.mint()
        key = cls(
            tenant=tenant,
            name=name,
            public_id=secret.public_id,
            digest=secret.digest,
            created_by=created_by,
            expires_at=timezone.now() + timedelta(days=days) if days else None,
        )
        key.full_clean(exclude=["digest", "created_by", "revoked_at"])
        with transaction.atomic():
            key.save(force_insert=True)
            act(Action.API_KEY_CREATE, actor=by, tenant_id=tenant.id, detail=key._described())
        return key, secret.text

    def revoke(self, *, by: str) -> None:
        """Takes effect within a second in every process (the door's cache). Idempotent."""
        with transaction.atomic():
            fresh = ApiKey.objects.live().filter(pk=self.pk).update(revoked_at=timezone.now())
            if fresh:
                act(
                    Action.API_KEY_REVOKE,
                    actor=by,
                    tenant_id=self.tenant_id,
                    detail=self._described(),
                )
        self.refresh_from_db(fields=["revoked_at"])

    def _described(self) -> dict[str, str]:
        return {"key": str(self.id), "name": self.name, "public_id": self.public_id}
