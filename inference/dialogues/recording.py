"""The durable steps of a turn. Each runs in a thread, in the tenant's scope.

Whoever has lost the lease of a turn to another process changes nothing any more: `LostTurn`. Where
a human has taken over, or the dialogue is closed, the turn ends and the step returns False; what
was said already stays.
"""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from audit.actions import Action
from inference.assistants import state as states
from inference.assistants.state import Done, HandOver, State, Step
from inference.dialogues import handing_over, progress
from inference.dialogues.changes import announce_on_commit
from inference.dialogues.progress import Progress
from inference.models import (
    Dialogue,
    DialogueMessage,
    DialogueStatus,
    DialogueTurn,
    Role,
    TurnStep,
)
from inference.models.assistants.dialogue import LEASE, Content
from tenants.models.model_changes import lock

Fields = dict[str, Any]  # of the answer's row: intent, step, worded_by, completion_id


class LostTurn(Exception):
    """Another process has the turn, or nobody needs it any more."""


def load(turn_id: UUID, lease: UUID) -> DialogueTurn:
    """Returns the turn with its dialogue and question. Raises LostTurn."""
    rows = DialogueTurn.objects.open().filter(pk=turn_id, lease=lease)
    turn = rows.select_related(
        "dialogue__person", "dialogue__api_key", "dialogue__tenant", "question__dialogue__person"
    ).first()
    if turn is None:
        raise LostTurn
    return turn


def renew(turn_id: UUID, lease: UUID) -> bool:
    """Keep the lease. Returns False if it is lost."""
    own = DialogueTurn.objects.open().filter(pk=turn_id, lease=lease)
    return bool(own.update(leased_until=Now() + LEASE))


def release(turn_id: UUID, lease: UUID) -> None:
    """Let another process go on at once."""
    DialogueTurn.objects.open().filter(pk=turn_id, lease=lease).update(leased_until=Now())


def note(turn: DialogueTurn, step: TurnStep, so_far: Progress) -> bool:
    """Make what the steps came to durable. Raises LostTurn, Barred."""
    with transaction.atomic():
        if _is_superseded(turn, so_far.step):
            return False
        turn.step = step
        turn.encrypt(progress.packed(so_far))
        turn.save(update_fields=["step", "data_key_id", "ciphertext"])
    return True


def _is_superseded(turn: DialogueTurn, step: Step | None) -> bool:
    """Lock dialogue and turn. Ends the turn where nobody needs it any more. Raises LostTurn.

    Who closes the dialogue before the answer has a question open, unless it is a courtesy.
    """
    _own(turn)
    dialogue = turn.dialogue
    if not (dialogue.human_has_it or dialogue.status == DialogueStatus.CLOSED):
        return False
    if step is None or states.is_answered(step) is not None:
        dialogue.note_answer("", is_answered=False)
    _complete(turn.answer)
    _end(turn, TurnStep.SUPERSEDED)
    announce_on_commit(dialogue.pk)
    return True


def _own(turn: DialogueTurn) -> None:
    """Lock dialogue and turn. Raises LostTurn."""
    lock(turn.dialogue)
    lease = turn.lease
    turn.refresh_from_db(fields=["lease", "ended_at", "step", "answer"])
    if turn.is_over or turn.lease != lease:
        raise LostTurn


# The answer --------------------------------------------------------------------------------------
def say_more(turn: DialogueTurn, step: Step, content: Content, fields: Fields) -> bool:
    """Give out the answer so far: the reader gets the sentences that are new. Raises LostTurn."""
    with transaction.atomic():
        if _is_superseded(turn, step):
            return False
        _put(turn, content, fields, whole=False)
        announce_on_commit(turn.dialogue_id)
    return True


def answer(
    turn: DialogueTurn, state: State, step: Step, content: Content | None, fields: Fields
) -> bool:
    """Record the answer with the state after it, and end the turn: one commit. Raises LostTurn."""
    with transaction.atomic():
        if _is_superseded(turn, step):
            return False
        dialogue = turn.dialogue
        if content:
            _put(turn, content, fields, whole=True)
        dialogue.language = state.language or dialogue.language
        dialogue.encrypt_state(states.packed(state))
        dialogue.save(update_fields=["language", "data_key_id", "ciphertext"])
        dialogue.note_answer(fields.get("intent", ""), states.is_answered(step))
        _move(dialogue, step)
        _end(turn, TurnStep.ANSWERED)
        _record(turn, fields)
        announce_on_commit(dialogue.pk)
    return True


def _move(dialogue: Dialogue, step: Step) -> None:
    match step:
        case HandOver():
            handing_over.hand_over(dialogue, step.reason, by=dialogue.actor)
        case Done():
            dialogue.move(DialogueStatus.RESOLVED)


def _put(turn: DialogueTurn, content: Content, fields: Fields, *, whole: bool) -> None:
    """Write the answer's row: a new one, or more of it."""
    message = turn.answer
    if message is None:
        turn.answer = turn.dialogue.add(Role.ASSISTANT, content, whole=whole, **fields)
        turn.save(update_fields=["answer"])
        return
    message.dialogue, message.whole = turn.dialogue, whole
    message.encrypt(content)
    for name, value in fields.items():
        setattr(message, name, value)
    message.save()


def _complete(message: DialogueMessage | None) -> None:
    if message:
        message.whole = True
        message.save(update_fields=["whole"])


def fail(turn: DialogueTurn, code: str) -> None:
    """End the turn without an answer; its message can be sent again. Raises LostTurn."""
    with transaction.atomic():
        _own(turn)
        _complete(turn.answer)
        _end(turn, TurnStep.FAILED, code)
        turn.dialogue.note_answer("", is_answered=False)
        detail = {"number": turn.question.number, "error_code": code}
        turn.dialogue.record(Action.DIALOGUE_ANSWER, turn.dialogue.actor, **detail)
        announce_on_commit(turn.dialogue_id)


def _end(turn: DialogueTurn, step: TurnStep, error_code: str = "") -> None:
    """End the turn; nobody needs its progress any more."""
    turn.step, turn.error_code, turn.ended_at = step, error_code, timezone.now()
    turn.data_key_id, turn.ciphertext = None, None
    turn.save(update_fields=["step", "error_code", "ended_at", "data_key_id", "ciphertext"])


def _record(turn: DialogueTurn, fields: Fields) -> None:
    named = ("intent", "step", "worded_by", "completion_id")
    detail = {name: str(fields[name]) for name in named if fields.get(name)}
    dialogue = turn.dialogue
    dialogue.record(Action.DIALOGUE_ANSWER, dialogue.actor, number=turn.question.number, **detail)
