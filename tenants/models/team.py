"""Teams of a tenant, and their members."""

import uuid
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants.models.member import Member
from tenants.models.model_changes import changed, lock
from tenants.models.tenant import Tenant


class Team(models.Model):
    """People of a tenant who work together. Grants to use a model go to its group."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="teams")
    name = models.CharField(_("name"), max_length=80)
    group = models.OneToOneField(Group, models.PROTECT, related_name="team")
    # Every chat of its members is temporary, whatever the tenant allows.
    temporary_chats = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint("tenant", "name", name="tenants_team_name")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def form(cls, tenant: Tenant, name: str, *, by: str) -> "Team":
        """Makes a team. Raises ValidationError for an invalid or existing name."""
        team = cls(tenant=tenant, name=name)
        team.full_clean(exclude=["group"])
        with transaction.atomic():
            team.group = Group.objects.create(name=f"team:{team.id}")
            team.save(force_insert=True)
            team._act(Action.TEAM_CREATE, by)
        return team

    def rename(self, name: str, *, by: str) -> None:
        """Renames the team. Raises ValidationError for an invalid or existing name."""
        self.change(by=by, name=name)

    def change(self, *, by: str, **fields: Any) -> None:
        """Sets any of `name` and `temporary_chats`. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if detail := changed(self, fields, ["name", "temporary_chats"]):
                self.save(update_fields=list(detail))
                self._act(Action.TEAM_CHANGE, by, **detail)

    def disband(self, *, by: str, platform: bool = False) -> None:
        """Deletes the team, its grants and its budgets. Its keys stay, without a team.

        Raises SetByPlatform for a budget of the platform's, which only operators delete.
        """
        with transaction.atomic():
            for budget in self.quotas.all():
                budget.drop(by=by, platform=platform)
            group = self.group
            self._act(Action.TEAM_DELETE, by)
            self.delete()
            group.delete()

    def add(self, member: Member, *, by: str) -> None:
        """Adds a member. Raises ValidationError for another tenant's member. Idempotent."""
        if member.tenant_id != self.tenant_id:
            raise ValidationError({"member": _("There is no such member in this tenant.")})
        with transaction.atomic():
            _membership, is_new = TeamMembership.objects.get_or_create(
                tenant_id=self.tenant_id, team=self, member=member
            )
            if is_new:
                self._act(Action.TEAM_JOIN, by, member=str(member.id))

    def take_out(self, member: Member, *, by: str) -> None:
        """Removes a member. Idempotent."""
        with transaction.atomic():
            if self.memberships.filter(member=member).delete()[0]:
                self._act(Action.TEAM_LEAVE, by, member=str(member.id))

    def _act(self, action: Action, by: str, **detail: Any) -> None:
        description = {"team": str(self.id), "name": self.name, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, detail=description)


class TeamMembership(models.Model):
    """The membership of a member in a team."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships")
    member = models.ForeignKey(Member, models.CASCADE, related_name="team_memberships")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint("team", "member", name="tenants_team_place_once")]

    def __str__(self) -> str:
        return f"{self.member} in {self.team}"
