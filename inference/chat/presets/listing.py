"""Presets as the page lists them."""

from typing import Any
from uuid import UUID

import msgspec

from inference.chat.presets import storing
from inference.chat.presets.settings import EFFORTS
from inference.chat.protocol import ChatSettings
from inference.models import Preset
from tenants.models import Member, Team


class ListedPreset(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    description: str
    model: str
    settings: ChatSettings
    level: str
    team: str
    is_default: bool
    editable: bool


def listed(preset: Preset, member: Member) -> ListedPreset | None:
    """Returns the preset; None if its key has been destroyed."""
    content = storing.readable(preset)
    if content is None:
        return None
    return ListedPreset(
        id=preset.id,
        name=content.name,
        description=content.description,
        model=content.model,
        settings=content.settings,
        level=preset.level,
        team=preset.team.name if preset.team else "",
        is_default=preset.is_default,
        editable=storing.may_edit(member, preset),
    )


def presets_of(member: Member) -> list[ListedPreset]:
    """Returns what the member sees: the default first, then by name."""
    rows = storing.seen_by(member).select_related("team", "member")
    presets = [each for each in (listed(row, member) for row in rows) if each]
    return sorted(presets, key=lambda each: (not each.is_default, each.name.lower()))


def settings_form(member: Member) -> dict[str, Any]:
    """Returns what the dialog of settings offers."""
    teams = Team.objects.filter(tenant_id=member.tenant_id).order_by("name")
    may_share = storing.may_share(member)
    return {"efforts": EFFORTS, "may_share": may_share, "teams": teams if may_share else ()}
