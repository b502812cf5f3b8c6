"""Erasure, retention and export of calls of actions: their arguments and answers.

What was done stays on the trail, without texts.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from audit.erasure.erasers import Evidence, some
from audit.exports.portability import Row
from audit.keys.keyring import Unreadable
from inference.models import ActionCall, CallState
from inference.models.assistants.action_call import ActionCallQuerySet

ROWS = 10_000  # deleted in one step
KINDS = {"action_calls": ("inference_actioncall", "created_at")}  # for data_classes.by_month


def _of_subject(tenant_id: UUID, subject_id: UUID) -> ActionCallQuerySet:
    return ActionCall.objects.filter(tenant_id=tenant_id, subject_id=subject_id)


def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    count, _by_table = some(_of_subject(tenant_id, subject_id), ROWS).delete()
    return {"action_calls": count}


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    return _of_subject(tenant_id, subject_id).count()


def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete ROWS calls that have ended, but those of held people."""
    old = ActionCall.objects.filter(tenant_id=tenant_id, created_at__lt=before)
    ended = old.exclude(state=CallState.SENT).exclude(subject_id__in=list(spare))
    count, _by_table = some(ended, ROWS).delete()
    return count


def exported(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    for call in _of_subject(tenant_id, subject_id).order_by("created_at").iterator():
        yield {
            "id": call.pk,
            "action": call.action_name,
            "dialogue": call.dialogue_id,
            "state": call.state,
            "confirmed_at": call.confirmed_at,
            "sent_at": call.sent_at,
            "settled_as": call.settled_as or None,
            **_texts(call),
        }


def _texts(call: ActionCall) -> dict[str, Any]:
    try:
        return {"arguments": call.arguments, "answer": call.answer}
    except Unreadable:
        return {"arguments": None, "answer": None}
