"""Changes of an action that wait for a second person, since an approved assistant calls it.

Who may change actions could else send the calls of an approved assistant to another address, or
let it move money without the person's yes, which nobody approved.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from audit.keys.keyring import Unreadable
from inference.models import AssistantVersion, Dialogue, WebhookAction
from inference.models.assistants.assistant_version import VersionState

Fields = dict[str, Any]


def is_called_by_approved(tenant_id: UUID, name: str) -> bool:
    """Returns whether a version that was approved calls an action of this name.

    A retired one counts until its dialogues are closed. Raises MasterKeyUnavailable.
    """
    return any(name in _actions_of(version) for version in _in_use(tenant_id))


def _in_use(tenant_id: UUID) -> Iterator[AssistantVersion]:
    versions = AssistantVersion.objects.filter(tenant_id=tenant_id)
    yield from versions.filter(state=VersionState.APPROVED)
    dialogues = Dialogue.objects.filter(tenant_id=tenant_id).live()
    named = set(dialogues.values_list("assistant_id", "version").distinct())
    for version in versions.filter(state=VersionState.RETIRED):
        if (version.assistant_id, version.number) in named:
            yield version


def held_back(action: WebhookAction, fields: Fields) -> Fields:
    """Returns those of the new fields that need a second person.

    `moves_money` needs one to be taken away; to ask for more confirmations is harmless.
    """
    if not (new := _redirecting(action, fields)):
        return {}
    return new if is_called_by_approved(action.tenant_id, action.name) else {}


def _redirecting(action: WebhookAction, fields: Fields) -> Fields:
    new = {"url": fields["url"]} if fields.get("url", action.url) != action.url else {}
    if action.moves_money and fields.get("moves_money", True) is False:
        new["moves_money"] = False
    return new


def _actions_of(version: AssistantVersion) -> list[str]:
    with suppress(Unreadable):  # then it answers nobody
        return version.spec.actions
    return []
