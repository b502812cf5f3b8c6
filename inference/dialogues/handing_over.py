"""Hands a dialogue over to people and back. Only one member has a dialogue at a time.

Members have it under a lease, which their open inbox renews: if they leave, it ends, and the
dialogue returns to the queue.
"""

from datetime import timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from inference.assistants import state as states
from inference.assistants import turns
from inference.dialogues import inbox_news
from inference.dialogues.changes import announce_on_commit
from inference.models import (
    Dialogue,
    DialogueHandOver,
    DialogueMessage,
    DialogueStatus,
    DialogueTurn,
    HandOverEnd,
    Role,
    TurnStep,
)
from inference.models.assistants.dialogue import Content
from inference.models.assistants.hand_over import LEASE, TRANSFER_LEASE
from tenants.models import Member
from tenants.models.model_changes import lock
from tenants.roles import Permission

TAKEN_OVER, UNKNOWN_ACTION = "taken_over", "action_unknown"
LONGEST_TEXT = 4_000  # characters of a reply or a note
S = DialogueStatus


def hand_over(dialogue: Dialogue, reason: str, *, by: str) -> None:
    """Let the dialogue wait for a human, who answers from now on.

    Runs in a transaction with the dialogue locked. Does nothing where humans have it already.
    """
    if dialogue.human_has_it or dialogue.status == S.CLOSED:
        return
    DialogueHandOver.objects.create(
        tenant_id=dialogue.tenant_id, dialogue=dialogue, reason=reason[:60]
    )
    first = dialogue.handed_over_at or timezone.now()
    dialogue.move(S.WAITING, taken_by="", taken_at=None, handed_over_at=first)
    dialogue.record(Action.DIALOGUE_HAND_OVER, by, reason=reason[:60])
    _tell(dialogue)


def take_over(dialogue: Dialogue, member: Member) -> None:
    """Give it to a member, also while the assistant writes: its turn ends, what it wrote stays.

    Raises ValidationError if another member has it.
    """
    with transaction.atomic():
        lock(dialogue)
        if dialogue.status == S.CLOSED:
            raise ValidationError(_("The person has closed this dialogue."))
        if dialogue.status == S.WITH_HUMAN:
            if dialogue.taken_by == member.actor:
                return
            raise ValidationError(_("Another member has taken this dialogue."))
        hand_over(dialogue, TAKEN_OVER, by=member.actor)
        _supersede_turn(dialogue)
        _open_one(dialogue).take(member.actor)
        dialogue.move(S.WITH_HUMAN, taken_by=member.actor, taken_at=timezone.now())
        dialogue.record(Action.DIALOGUE_TAKE, member.actor)
        _tell(dialogue)


def transfer(dialogue: Dialogue, to: Member, *, by: str) -> None:
    """Give it to another member, who has some minutes to open it. Raises ValidationError."""
    if to.tenant_id != dialogue.tenant_id or not to.may(Permission.ANSWER_DIALOGUES):
        raise ValidationError({"to": _("This member may not answer dialogues.")})
    with transaction.atomic():
        _lock_own(dialogue, by)
        _open_one(dialogue).take(to.actor, TRANSFER_LEASE)
        dialogue.move(S.WITH_HUMAN, taken_by=to.actor, taken_at=timezone.now())
        dialogue.record(Action.DIALOGUE_TRANSFER, by, to=to.actor)
        _tell(dialogue)


def give_back(dialogue: Dialogue, *, by: str) -> None:
    """Let the assistant answer from the person's next message on. Raises ValidationError."""
    with transaction.atomic():
        _lock_own(dialogue, by)
        resume_assistant(dialogue)
        _finish(dialogue, S.OPEN, HandOverEnd.GIVEN_BACK)
        dialogue.record(Action.DIALOGUE_GIVE_BACK, by)
        _tell(dialogue)


def resolve(dialogue: Dialogue, *, by: str) -> None:
    """End it as resolved. A message of the person opens it again. Raises ValidationError."""
    with transaction.atomic():
        _lock_own(dialogue, by)
        _finish(dialogue, S.RESOLVED, HandOverEnd.RESOLVED)
        dialogue.record(Action.DIALOGUE_RESOLVE, by)
        _tell(dialogue)


def resume_assistant(dialogue: Dialogue) -> None:
    """Let the assistant, which had said its last, answer again. In a transaction, locked."""
    if state := dialogue.state:
        dialogue.encrypt_state(states.packed(turns.resumed(states.unpacked(state))))
        dialogue.save(update_fields=["data_key_id", "ciphertext"])


# Words -------------------------------------------------------------------------------------------
def reply(
    dialogue: Dialogue, text: str, client_id: UUID | None = None, *, by: str
) -> DialogueMessage:
    """Answer the person, as the member who has the dialogue. Raises ValidationError, Barred.

    Sent again with the same `client_id`, a reply or a note counts once.
    """
    content = _content(text)
    with transaction.atomic():
        lock(dialogue)
        if earlier := _earlier(dialogue, Role.HUMAN, client_id, by):
            return earlier
        _refuse_others(dialogue, by)
        _open_one(dialogue).take(by)
        message = dialogue.add(Role.HUMAN, content, author=by, client_id=client_id)
        dialogue.record(Action.DIALOGUE_REPLY, by, number=message.number)
        _tell(dialogue)
    return message


def note(
    dialogue: Dialogue, text: str, client_id: UUID | None = None, *, by: str
) -> DialogueMessage:
    """Write a note for members, which the person never sees. Raises ValidationError, Barred."""
    content = _content(text)
    with transaction.atomic():
        lock(dialogue)
        if earlier := _earlier(dialogue, Role.NOTE, client_id, by):
            return earlier
        message = dialogue.add(Role.NOTE, content, author=by, client_id=client_id)
        dialogue.record(Action.DIALOGUE_NOTE, by, number=message.number)
        _tell(dialogue)
    return message


def _earlier(
    dialogue: Dialogue, role: Role, client_id: UUID | None, by: str
) -> DialogueMessage | None:
    """Returns what the member has sent with this id before."""
    if client_id is None:
        return None
    return dialogue.messages.filter(client_id=client_id, role=role, author=by).first()


# Leases ------------------------------------------------------------------------------------------
def renew(tenant_id: UUID, actor: str, lease: timedelta = LEASE) -> int:
    """Keep what the member has, since their inbox is open. Returns how many dialogues."""
    until = Now() + lease
    own = DialogueHandOver.objects.taken().filter(tenant_id=tenant_id, taken_by=actor)
    return own.filter(leased_until__lt=until).update(leased_until=until)


def return_abandoned() -> int:
    """Return dialogues of members who left to the queue, in all tenants. Returns how many."""
    rows = list(DialogueHandOver.objects.abandoned().values_list("dialogue_id", flat=True)[:500])
    return sum(_return(dialogue_id) for dialogue_id in rows)


def _return(dialogue_id: UUID) -> bool:
    with transaction.atomic():
        dialogue = Dialogue.objects.select_related("person").get(pk=dialogue_id)
        lock(dialogue)
        row = DialogueHandOver.objects.abandoned().filter(dialogue_id=dialogue_id).first()
        if row is None or dialogue.status != S.WITH_HUMAN:
            return False
        former = row.taken_by
        row.put_back()
        dialogue.move(S.WAITING, taken_by="", taken_at=None)
        dialogue.record(Action.DIALOGUE_RETURN, "platform", former=former)
        _tell(dialogue)
    return True


def end_with_person(dialogue: Dialogue) -> None:
    """End the hand-over of a dialogue that the person has closed. In its transaction, locked."""
    if row := dialogue.hand_overs.open().first():
        row.end(HandOverEnd.CLOSED)
        inbox_news.tell_on_commit(dialogue.tenant_id)


# -------------------------------------------------------------------------------------------------
def _lock_own(dialogue: Dialogue, actor: str) -> None:
    """Lock it. Raises ValidationError unless this member has it."""
    lock(dialogue)
    _refuse_others(dialogue, actor)


def _refuse_others(dialogue: Dialogue, actor: str) -> None:
    if dialogue.status == S.CLOSED:
        raise ValidationError(_("The person has closed this dialogue."))
    if dialogue.status != S.WITH_HUMAN or dialogue.taken_by != actor:
        raise ValidationError(_("You do not have this dialogue: take it over first."))


def _open_one(dialogue: Dialogue) -> DialogueHandOver:
    row: DialogueHandOver = dialogue.hand_overs.open().get()
    return row


def _finish(dialogue: Dialogue, status: DialogueStatus, ending: HandOverEnd) -> None:
    _open_one(dialogue).end(ending)
    dialogue.move(status, taken_by="", taken_at=None)


def _supersede_turn(dialogue: Dialogue) -> None:
    """End the assistant's turn, whose process notices at its next step."""
    for turn in dialogue.turns.open().select_related("answer"):
        if turn.answer_id:
            DialogueMessage.objects.filter(pk=turn.answer_id).update(whole=True)
        fields = {"step": TurnStep.SUPERSEDED, "ended_at": timezone.now()}
        cleared = {"data_key_id": None, "ciphertext": None}
        DialogueTurn.objects.filter(pk=turn.pk).update(**fields, **cleared)


def _content(text: str) -> Content:
    text = text.strip()
    if not text or len(text) > LONGEST_TEXT or "\0" in text:
        problem = _("Write something, at most %d characters.") % LONGEST_TEXT
        raise ValidationError({"text": problem})
    return Content([text])


def _tell(dialogue: Dialogue) -> None:
    announce_on_commit(dialogue.pk)
    inbox_news.tell_on_commit(dialogue.tenant_id)
