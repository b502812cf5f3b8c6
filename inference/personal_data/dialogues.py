"""Erasure, retention and export of a person's dialogues with assistants."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from audit.erasure.erasers import Evidence, some
from audit.erasure.own_erasers import key_ids
from audit.exports.portability import Row
from audit.keys.keyring import Unreadable
from inference.models import Dialogue, DialogueMessage, DialogueTurn, Role

ROWS = 1_000  # in one step, with all that belongs to them
KINDS = {"dialogues": ("inference_dialogue", "changed_at")}  # for data_classes.by_month


def _of_person(tenant_id: UUID, subject_id: UUID) -> QuerySet[Dialogue]:
    keys = key_ids(tenant_id, subject_id)
    return Dialogue.objects.filter(
        Q(person=subject_id) | Q(data_key_id__in=keys), tenant_id=tenant_id
    )


def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Delete the dialogues, ROWS at most, also those under way."""
    _all, by_table = some(_of_person(tenant_id, subject_id), ROWS).delete()
    return {
        "dialogues": by_table.get("inference.Dialogue", 0),
        "messages": by_table.get("inference.DialogueMessage", 0),
    }


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    encrypted: dict[str, Any] = {
        "tenant_id": tenant_id,
        "data_key_id__in": key_ids(tenant_id, subject_id),
    }
    messages = DialogueMessage.objects.filter(**encrypted).count()
    turns = DialogueTurn.objects.filter(**encrypted).count()
    return _of_person(tenant_id, subject_id).count() + messages + turns


def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete ROWS dialogues that did not change since, but those of held people."""
    old = Dialogue.objects.filter(tenant_id=tenant_id, changed_at__lt=before)
    _all, by_table = some(old.exclude(person__in=list(spare)), ROWS).delete()
    return by_table.get("inference.Dialogue", 0)


def exported(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    """Yields each dialogue with its messages, without the notes of members."""
    rows = Dialogue.objects.filter(tenant_id=tenant_id, person=subject_id)
    for dialogue in rows.order_by("created_at").iterator():
        messages = dialogue.messages.exclude(role=Role.NOTE).order_by("number")
        yield {
            "id": dialogue.public_id,
            "channel": dialogue.channel,
            "language": dialogue.language,
            "status": dialogue.status,
            "satisfaction": dialogue.satisfaction,
            "resolved": dialogue.was_resolved,
            "created_at": dialogue.created_at,
            "messages": [_message(message) for message in messages],
        }


def _message(message: DialogueMessage) -> Row:
    try:
        content = message.content
    except Unreadable:
        return {"role": message.role, "text": None, "created_at": message.created_at}
    return {
        "role": message.role,
        "text": content.text,
        "sources": [source.title for source in content.sources],
        "intent": message.intent,
        "created_at": message.created_at,
    }
