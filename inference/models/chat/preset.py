"""Presets of the chat: a system prompt and parameters under a name.

One is its member's own, or for a team, or for everybody in the tenant. Its texts are encrypted:
under the member's key where it is theirs, else under the tenant's.
"""

import uuid
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import Member, Team, Tenant


class PresetLevel(models.TextChoices):
    PERSONAL = "personal", _("Mine")
    TEAM = "team", _("My team's")
    TENANT = "tenant", _("Everybody's")


class PresetQuerySet(models.QuerySet["Preset"]):
    def seen_by(self, member: Member) -> Self:
        """Those of the member, of the member's teams, and of everybody in the tenant."""
        of_teams = Q(member=None, team__memberships__member=member)
        everybodys = Q(member=None, team=None)
        rows = self.filter(Q(member=member) | of_teams | everybodys, tenant_id=member.tenant_id)
        return rows.distinct()


class Preset(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="presets")
    member = models.ForeignKey(Member, models.CASCADE, null=True, related_name="presets")
    team = models.ForeignKey(Team, models.CASCADE, null=True, related_name="presets")
    is_default = models.BooleanField(default=False)  # of new chats in the tenant
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[PresetQuerySet] = PresetQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "tenant", name="inference_preset_default", condition=Q(is_default=True)
            ),
            models.CheckConstraint(
                condition=Q(member=None) | Q(team=None, is_default=False),
                name="inference_preset_level",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def level(self) -> PresetLevel:
        if self.member_id:
            return PresetLevel.PERSONAL
        return PresetLevel.TEAM if self.team_id else PresetLevel.TENANT
