"""Members: a person in a tenant, with one role there."""

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


READS = frozenset({Permission.VIEW_PROMPTS, Permission.ANSWER_DIALOGUES})  # other people's texts


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
        constraints = [models.UniqueConstraint("tenant", "user", name="tenants_member_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"

    @property
    def actor(self) -> str:
        return f"member:{self.id}"

    @property
    def permissions(self) -> frozenset[Permission]:
        """The role's permissions under the tenant's security profile.

        A person whose older texts are locked (accounts/text_lock.py) may not read other people's
        either.
        """
        granted = permissions(self.role, self.tenant.profile)
        return granted - READS if self._locked else granted

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    def may_give(self, role: Role) -> bool:
        """Returns True for owners; others may give roles whose permissions they all have."""
        needed = permissions(role, self.tenant.profile)
        gives_all = self.role == Role.OWNER and not self._locked
        return self.may(Permission.MANAGE_MEMBERS) and (gives_all or needed <= self.permissions)

    @cached_property
    def _locked(self) -> bool:
        reads = bool(READS & permissions(self.role, self.tenant.profile))
        owns = self.role == Role.OWNER
        return (reads or owns) and bool(
            apps.get_model("tenants", "TextLock").objects.filter(user=self.user_id).exists()
        )

    @transaction.atomic
    def change_role(self, role: Role, *, by: str) -> None:
        """Changes the role, which takes effect within a second. Raises LastOwner."""
        self._lock()
        before, role = self.role, Role(role)
        if before == role:
            return
        if is_last_owner(self):
            raise LastOwner
        self.role = role
        self.save(update_fields=["role"])
        self.record(Action.MEMBER_ROLE, by=by, role=[before, role.value])

    @transaction.atomic
    def remove(self, *, by: str) -> None:
        """Removes a member, their teams and quotas, and unused invitations from and for them.

        Keys that they made, widened or rotated lose their power; keys for inference stay, so that
        production continues. Raises LastOwner, since a tenant without an owner could never be
        managed again, and OnHold, since a removal would delete their conversations and the link
        between person and texts.
        """
        self._lock()
        legal_hold.refuse_if_held(self.tenant_id, self.subject_id)
        if is_last_owner(self):
            raise LastOwner
        self.record(Action.MEMBER_REMOVE, by=by, role=self.role)
        keys = apps.get_model("tenants", "ApiKey").objects.filter(tenant=self.tenant)
        keys.end_power_of(self.actor, by=by, why="removed")
        links = apps.get_model("tenants", "Link").objects.filter(tenant=self.tenant, used_at=None)
        by_member = models.Q(created_by__in=[self.actor, f"user:{self.user_id}"])
        links.filter(by_member | models.Q(email__iexact=self.user.email)).delete()
        for quota in self.quotas.all():
            quota.drop(by=by, platform=True)
        self.delete()

    def record(self, action: Action, *, by: str, role: object) -> None:
        """Records an act on the membership in the audit trail."""
        act(
            action,
            actor=by,
            tenant_id=self.tenant_id,
            subject_id=self.subject_id,
            detail={"member": str(self.id), "role": role},
        )

    def _lock(self) -> None:
        """Locks the tenant, so that one change of its people happens at a time."""
        tenants = type(self.tenant).objects.select_for_update(no_key=True)
        self.tenant = tenants.get(pk=self.tenant_id)
        self.refresh_from_db(fields=["role"])


class LastOwner(Exception):
    pass


def is_last_owner(record: object) -> bool:
    """Returns True if nobody could manage the tenant without this member."""
    if not isinstance(record, Member) or record.role != Role.OWNER:
        return False
    owners = Member.objects.filter(tenant_id=record.tenant_id, role=Role.OWNER)
    return not owners.exclude(pk=record.pk).exists()
