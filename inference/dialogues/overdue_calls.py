"""Calls of actions whose process died: their outcome is unknown, and a human goes on."""

from django.db import transaction

from inference.actions.calling import note_now
from inference.actions.sending import Outcome
from inference.dialogues.handing_over import UNKNOWN_ACTION, hand_over
from inference.models import ActionCall, CallState, Dialogue, DialogueStatus
from tenants.models.model_changes import lock

AT_ONCE = 200
PLATFORM = "platform"


def end_overdue() -> int:
    """End them as unknown, in all tenants, and hand their dialogues over. Returns how many."""
    calls = list(ActionCall.objects.overdue().order_by("deadline")[:AT_ONCE])
    for call in calls:
        with transaction.atomic():
            note_now(call, Outcome(CallState.UNKNOWN, "no_outcome"))
            _hand_over(call)
    return len(calls)


def _hand_over(call: ActionCall) -> None:
    if call.dialogue_id is None:
        return
    rows = Dialogue.objects.filter(pk=call.dialogue_id, tenant_id=call.tenant_id)
    dialogue = rows.select_related("person").first()
    if dialogue is None:
        return
    lock(dialogue)
    if dialogue.turns.open().exists():
        return  # its turn goes on elsewhere, and hands it over by itself
    if dialogue.status in (DialogueStatus.OPEN, DialogueStatus.RESOLVED):
        hand_over(dialogue, UNKNOWN_ACTION, by=PLATFORM)
