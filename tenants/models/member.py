import uuid
from typing import ClassVar

from django.apps import apps
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.record import act
from tenants.models.tenant import Tenant
from tenants.models.user import User
from tenants.roles import Permission, Role, may


class MemberQuerySet(models.QuerySet["Member"]):
    def of(self, user: User) -> "MemberQuerySet":
        return self.filter(user=user).select_related("tenant")


class Member(models.Model):
    """A person in a tenant, with one role there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="members")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=12, choices=Role, default=Role.MEMBER)
    subject_id = models.UUIDField(default=uuid.uuid4, editable=False)  # pseudonym in the audit
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[MemberQuerySet] = MemberQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint("tenant", "user", name="tenants_member_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"

    @property
    def actor(self) -> str:
        return f"member:{self.id}"

    def may(self, permission: Permission) -> bool:
        return may(self.role, permission)

    def remove(self, *, by: str) -> None:
        """Raises LastOwner: a tenant without an owner could never be managed again."""
        with transaction.atomic():
            owners = list(self.tenant.members.select_for_update().filter(role=Role.OWNER))
            if self.role == Role.OWNER and len(owners) <= 1:  # a count() would not lock them
                raise LastOwner
            act(
                Action.MEMBER_REMOVE,
                actor=by,
                tenant_id=self.tenant_id,
                subject_id=self.subject_id,
                detail={"member": str(self.id), "role": self.role},
            )
            invitations = apps.get_model("tenants", "Link").objects.filter(tenant=self.tenant)
            invitations.filter(email__iexact=self.user.email, used_at=None).delete()
            self.delete()


class LastOwner(Exception):
    pass
