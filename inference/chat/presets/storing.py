"""Makes, changes and removes presets, each time with an event on the audit trail."""

from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.keys.keyring import Unreadable, keyring
from audit.trail.record import act
from inference.chat.conversations import LOCKED
from inference.chat.presets.settings import NO_SETTINGS, check
from inference.chat.problems import ChatRefused
from inference.chat.protocol import ChatSettings, Problem
from inference.models import Preset, PresetLevel
from infrastructure.postgres.queries import lock
from tenants.models import Member, Team
from tenants.roles import Permission, permissions

LONGEST_NAME, LONGEST_DESCRIPTION = 80, 300
MOST = {PresetLevel.PERSONAL: 100, PresetLevel.TEAM: 300, PresetLevel.TENANT: 300}
_TEXTS: dict[str, Promise] = {
    "preset_name": _("Give the preset a name of at most 80 characters."),
    "preset_description": _("A description may have 300 characters at most."),
    "too_many_presets": _("There are too many presets. Remove some first."),
    "preset_not_yours": _("Your role may not change presets that others use too."),
    "preset_gone": _("This preset does not exist any more."),
    "preset_no_team": _("Choose a team of your tenant."),
}


class PresetContent(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    description: str = ""
    model: str = ""  # "": whichever is chosen
    settings: ChatSettings = NO_SETTINGS


def may_edit(member: Member, preset: Preset) -> bool:
    return preset.member_id == member.pk if preset.member_id else may_share(member)


def may_share(member: Member) -> bool:
    """Returns whether the member may write presets for teams and the tenant."""
    return Permission.MANAGE_TEMPLATES in permissions(member.role, member.tenant.profile)


def content_of(preset: Preset) -> PresetContent:
    """Raises Unreadable, MasterKeyUnavailable."""
    cipher = keyring.by_id_now(preset.data_key_id)
    clear = cipher.decrypt(bytes(preset.ciphertext), _aad(preset))
    return msgspec.msgpack.decode(clear, type=PresetContent)


def readable(preset: Preset) -> PresetContent | None:
    try:
        return content_of(preset)
    except Unreadable:
        return None


def create(
    member: Member, level: PresetLevel, content: PresetContent, team: UUID | None = None
) -> Preset:
    """Raises ChatRefused."""
    preset = Preset(tenant_id=member.tenant_id, created_by=member.actor)
    if level == PresetLevel.PERSONAL:
        preset.member = member
    elif not may_share(member):
        raise _refused("preset_not_yours")
    elif level == PresetLevel.TEAM:
        preset.team = _team(member, team)
    with transaction.atomic():
        lock(f"presets:{member.tenant_id}")
        _check_number(preset)
        _encrypt(preset, content)
        preset.save(force_insert=True)
        _record(Action.PRESET_CREATE, preset, member)
    return preset


def change(preset: Preset, member: Member, content: PresetContent) -> None:
    """Raises ChatRefused."""
    _check_editor(preset, member)
    with transaction.atomic():
        _encrypt(preset, content)
        preset.changed_at = timezone.now()
        preset.save(update_fields=["data_key_id", "ciphertext", "changed_at"])
        _record(Action.PRESET_CHANGE, preset, member)


def remove(preset: Preset, member: Member) -> None:
    """Raises ChatRefused."""
    _check_editor(preset, member)
    with transaction.atomic():
        _record(Action.PRESET_DELETE, preset, member)
        preset.delete()


def make_default(preset: Preset, member: Member, *, is_default: bool) -> None:
    """Have new chats of the tenant begin with it, or with none. Raises ChatRefused."""
    if preset.level != PresetLevel.TENANT or not may_share(member):
        raise _refused("preset_not_yours")
    with transaction.atomic():
        lock(f"presets:{member.tenant_id}")
        Preset.objects.filter(tenant_id=member.tenant_id, is_default=True).update(is_default=False)
        Preset.objects.filter(pk=preset.pk).update(is_default=is_default)
        preset.is_default = is_default
        _record(Action.PRESET_DEFAULT, preset, member, is_default=is_default)


def seen_by(member: Member) -> QuerySet[Preset]:
    """Returns those that the member sees, without own ones from before a lock of their texts."""
    return Preset.objects.seen_by(member).filter(~LOCKED)


def visible(member: Member, pk: UUID) -> Preset:
    """Raises ChatRefused for one that the member does not see."""
    preset = seen_by(member).filter(pk=pk).first()
    if preset is None:
        raise _refused("preset_gone")
    return preset


def _team(member: Member, pk: UUID | None) -> Team:
    team = Team.objects.filter(tenant_id=member.tenant_id, pk=pk).first() if pk else None
    if team is None:
        raise _refused("preset_no_team")
    return team


def _check_editor(preset: Preset, member: Member) -> None:
    if not may_edit(member, preset):
        raise _refused("preset_not_yours")


def _check_number(preset: Preset) -> None:
    alike = Preset.objects.filter(tenant_id=preset.tenant_id, member=preset.member)
    if preset.level != PresetLevel.PERSONAL:
        alike = alike.filter(team__isnull=preset.team_id is None)
    if alike.count() >= MOST[preset.level]:
        raise _refused("too_many_presets")


def _encrypt(preset: Preset, content: PresetContent) -> None:
    """Raises ChatRefused, Barred, MasterKeyUnavailable."""
    if not 1 <= len(content.name.strip()) <= LONGEST_NAME:
        raise _refused("preset_name")
    if len(content.description) > LONGEST_DESCRIPTION:
        raise _refused("preset_description")
    check(content.settings)
    subject = preset.member.subject_id if preset.member else None
    cipher = keyring.of_subject_now(preset.tenant_id, subject)
    preset.data_key_id = cipher.key_id
    preset.ciphertext = cipher.encrypt(msgspec.msgpack.encode(content), _aad(preset))


def _aad(preset: Preset) -> bytes:
    return b"inference_preset|%b|%b" % (preset.tenant_id.bytes, preset.id.bytes)


def _record(action: Action, preset: Preset, member: Member, **more: Any) -> None:
    team = {"team": str(preset.team_id)} if preset.team_id else {}
    act(
        action,
        actor=member.actor,
        tenant_id=preset.tenant_id,
        subject_id=member.subject_id if preset.member_id else None,
        detail={"preset": str(preset.id), "level": str(preset.level), **team, **more},
    )


def _refused(code: str) -> ChatRefused:
    return ChatRefused(code, Problem(code, str(_TEXTS[code])))
