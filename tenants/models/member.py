import uuid
from typing import ClassVar

from django.apps import apps
from django.db import models, transaction
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.retention import legal_hold
from audit.trail.record import act
from tenants.models.tenant import Tenant
from tenants.models.user import User
from tenants.roles import Permission, Role, permissions


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

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the role holds under the tenant's security profile. While the person's older texts
        are locked (locked_texts.py), they read nobody else's either.
        """
        held = permissions(self.role, self.tenant.profile)
        return held - {Permission.VIEW_PROMPTS} if self._locked else held

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    def may_give(self, role: Role) -> bool:
        """Owners give every role; others none that may do what they may not themselves."""
        given = permissions(role, self.tenant.profile)
        all_of_them = self.role == Role.OWNER and not self._locked
        return self.may(Permission.MANAGE_MEMBERS) and (all_of_them or given <= self.permissions)

    @cached_property
    def _locked(self) -> bool:
        reads = Permission.VIEW_PROMPTS in permissions(self.role, self.tenant.profile)
        owns = self.role == Role.OWNER
        return (reads or owns) and bool(
            apps.get_model("tenants", "TextLock").objects.filter(user=self.user_id).exists()
        )

    @transaction.atomic
    def change_role(self, role: Role, *, by: str) -> None:
        """The change takes effect within a second. Raises LastOwner."""
        self._held()
        before, role = self.role, Role(role)
        if before == role:
            return
        self._keep_an_owner()
        self.role = role
        self.save(update_fields=["role"])
        act(
            Action.MEMBER_ROLE,
            actor=by,
            tenant_id=self.tenant_id,
            subject_id=self.subject_id,
            detail={"member": str(self.id), "role": [before, role.value]},
        )

    @transaction.atomic
    def remove(self, *, by: str) -> None:
        """With their places in teams, the unused invitations from and for them, and the power of
        keys that they made, widened or rotated; keys for inference stay: production goes on.

        Raises LastOwner: a tenant without an owner could never be managed again. And OnHold: their
        conversations, and whose the texts are that it keeps, would go with them.
        """
        self._held()
        legal_hold.refuse_if_held(self.tenant_id, self.subject_id)
        self._keep_an_owner()
        act(
            Action.MEMBER_REMOVE,
            actor=by,
            tenant_id=self.tenant_id,
            subject_id=self.subject_id,
            detail={"member": str(self.id), "role": self.role},
        )
        keys = apps.get_model("tenants", "ApiKey").objects.filter(tenant=self.tenant)
        keys.end_power_of(self.actor, by=by, why="removed")
        links = apps.get_model("tenants", "Link").objects.filter(tenant=self.tenant, used_at=None)
        from_them = models.Q(created_by__in=[self.actor, f"user:{self.user_id}"])
        links.filter(from_them | models.Q(email__iexact=self.user.email)).delete()
        self.delete()

    def _held(self) -> None:
        """One change of a tenant's people at a time."""
        tenants = type(self.tenant).objects.select_for_update(no_key=True)
        self.tenant = tenants.get(pk=self.tenant_id)
        self.refresh_from_db(fields=["role"])

    def _keep_an_owner(self) -> None:
        others = self.tenant.members.filter(role=Role.OWNER).exclude(pk=self.pk)
        if self.role == Role.OWNER and not others.exists():
            raise LastOwner


class LastOwner(Exception):
    pass


def is_last_owner(one: object) -> bool:
    """Whoever it is: without this one, nobody could manage the tenant."""
    if not isinstance(one, Member) or one.role != Role.OWNER:
        return False
    owners = Member.objects.filter(tenant_id=one.tenant_id, role=Role.OWNER)
    return not owners.exclude(pk=one.pk).exists()
