"""Dialogues as they are after their end, for tests of figures."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from inference.models import ActionCall, Dialogue, DialogueTurn, TurnStep
from inference.models.assistants.action_call import CallState
from tenants.models import Tenant
from tests.inference.dialogues.rows import a_dialogue


def ended(
    tenant: Tenant,
    assistant: UUID | None = None,
    *,
    person: str = "customer 1",
    days_ago: float = 1,
    resolved_after_s: float | None = 60,
    answer_s: float = 2,
    **fields: Any,
) -> Dialogue:
    """A dialogue of one message, by default with an answer after which nothing was open."""
    began = timezone.now() - timedelta(days=days_ago)
    dialogue = a_dialogue(tenant, "Where is it?", person=person)
    turn = DialogueTurn.objects.create(
        tenant=tenant,
        dialogue=dialogue,
        question=dialogue.messages.get(),
        deadline=began,
        step=TurnStep.ANSWERED,
    )
    until = began + timedelta(seconds=answer_s)
    DialogueTurn.objects.filter(pk=turn.pk).update(created_at=began, ended_at=until)
    solved = None if resolved_after_s is None else began + timedelta(seconds=resolved_after_s)
    changes = {
        "assistant_id": assistant or uuid4(),
        "turns_count": 1,
        "answered_at": solved,
        "created_at": began,
        "changed_at": began,
        **fields,
    }
    Dialogue.objects.filter(pk=dialogue.pk).update(**changes)
    dialogue.refresh_from_db()
    return dialogue


def called(dialogue: Dialogue, state: CallState, action: str = "find_order") -> ActionCall:
    call = ActionCall(
        tenant_id=dialogue.tenant_id,
        action_name=action,
        revision=1,
        moves_money=False,
        dialogue_id=dialogue.pk,
        turn_id=uuid4(),
        subject_id=dialogue.subject_id,
        created_by=dialogue.actor,
        state=state,
    )
    call.encrypt({"order": "AB-1234"})
    call.save(force_insert=True)
    return call
