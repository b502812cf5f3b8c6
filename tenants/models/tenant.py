import uuid
from typing import Any, ClassVar

from django.core.validators import RegexValidator
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.record import act
from tenants.models.user import User
from tenants.roles import Role


class Tier(models.TextChoices):
    STANDARD = "standard", _("Standard")
    VIP = "vip", _("VIP")


WEIGHTS = {Tier.STANDARD: 1, Tier.VIP: 4}


class TenantQuerySet(models.QuerySet["Tenant"]):
    def visible_to(self, user: User) -> "TenantQuerySet":
        """Operators see every tenant; everyone else those they belong to."""
        if user.is_operator:
            return self.all()
        return self.filter(members__user=user)


class Tenant(models.Model):
    """Who shares the GPUs. A limit of 0 means: none."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.SlugField(
        _("name"),
        max_length=60,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$", _("Use a-z, 0-9 and dashes."))],
    )
    tier = models.CharField(_("tier"), max_length=10, choices=Tier, default=Tier.STANDARD)
    requests_per_minute = models.PositiveIntegerField(_("requests per minute"), default=100)
    burst = models.PositiveIntegerField(_("burst"), default=200)
    max_concurrency = models.PositiveIntegerField(_("requests at once"), default=64)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[TenantQuerySet] = TenantQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name

    @property
    def weight(self) -> int:
        """Share of the GPUs in the fair queue, against a standard tenant's 1."""
        return WEIGHTS[Tier(self.tier)]

    @classmethod
    def open(cls, name: str, *, by: str, **fields: Any) -> "Tenant":
        """Raises ValidationError for a bad or taken name."""
        tenant = cls(name=name, **fields)
        tenant.full_clean()
        with transaction.atomic():
            tenant.save(force_insert=True)
            act(Action.TENANT_CREATE, actor=by, tenant_id=tenant.id, detail={"name": name})
        return tenant

    def change(self, *, by: str, **fields: Any) -> None:
        """Sets tier and limits. Raises ValidationError."""
        changed = {name: value for name, value in fields.items() if getattr(self, name) != value}
        detail = {name: [getattr(self, name), value] for name, value in changed.items()}
        for name, value in changed.items():
            setattr(self, name, value)
        self.full_clean()
        with transaction.atomic():
            self.save(update_fields=list(changed))
            act(Action.TENANT_CHANGE, actor=by, tenant_id=self.id, detail=detail)

    def add_member(self, user: User, role: Role, *, by: str) -> Any:
        with transaction.atomic():
            member, new = self.members.get_or_create(user=user, defaults={"role": role})
            if new:
                act(
                    Action.MEMBER_ADD,
                    actor=by,
                    tenant_id=self.id,
                    subject_id=member.subject_id,
                    detail={"member": str(member.id), "role": role},
                )
        return member
