"""Takes what a person does: begins a dialogue, sends a message, closes it.

A message is durable before anything is done about it, and counts once however often it is sent.
These functions run in a thread, in the tenant's scope.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import Barred
from inference.assistants import state as states
from inference.assistants import turns, wording
from inference.assistants.state import State, Step
from inference.dialogues import handing_over, inbox_news
from inference.dialogues.changes import announce_on_commit
from inference.errors import BadRequest, Conflict, KeyReused
from inference.models import (
    AssistantVersion,
    Channel,
    Dialogue,
    DialogueMessage,
    DialogueStatus,
    DialogueTurn,
    Role,
    TurnStep,
    WidgetKey,
)
from inference.models.assistants.dialogue import LEASE, Content
from tenants.caller import Caller
from tenants.models import Person
from tenants.models.model_changes import lock

DEADLINE = timedelta(seconds=45)  # of a turn, from its message to its answer
LONGEST_TEXT = 4_000  # characters of a message
MOST_MESSAGES = 1_000  # of a dialogue


@dataclass(frozen=True, slots=True)
class Received:
    """A message on record. `turn` is None where a human has the dialogue.

    `lease` is set if this process is to run the turn.
    """

    message: DialogueMessage
    turn: DialogueTurn | None
    lease: UUID | None = None


# A dialogue --------------------------------------------------------------------------------------
def begin(
    caller: Caller,
    version: AssistantVersion,
    person: Person,
    language: str,
    widget_key: WidgetKey | None = None,
) -> Dialogue:
    """Begin a dialogue with the assistant's greeting. Raises Conflict, Unreadable."""
    state, step = turns.opened(version.spec, language)
    dialogue = Dialogue(
        tenant_id=caller.tenant_id,
        api_key_id=caller.api_key_id,
        widget_key=widget_key,
        person=person,
        assistant_id=version.assistant_id,
        version=version.number,
        channel=Channel.WIDGET if widget_key else Channel.API,
        language=state.language,
    )
    with transaction.atomic(), not_barred():
        dialogue.encrypt_state(states.packed(state))
        dialogue.save(force_insert=True)
        _greet(dialogue, version, state, step)
        detail = {"assistant": str(version.assistant_id), "version": version.number}
        dialogue.record(Action.DIALOGUE_CREATE, caller.actor, channel=dialogue.channel, **detail)
    return dialogue


def _greet(dialogue: Dialogue, version: AssistantVersion, state: State, step: Step) -> None:
    text = wording.plain(version.spec, step, state.language)
    if text:
        dialogue.add(Role.ASSISTANT, Content([text]), step="greeting", worded_by="plain")


@contextmanager
def not_barred() -> Iterator[None]:
    """Turn a barred key into the refusal that the client gets. Raises Conflict."""
    try:
        yield
    except Barred:
        raise restricted() from None


def restricted() -> Conflict:
    text = "the data of this person is erased or restricted: nothing of it is processed"
    return Conflict(text, code="person_restricted")


# A message ---------------------------------------------------------------------------------------
def checked_text(text: object) -> str:
    """Returns the text of a message. Raises BadRequest."""
    if not isinstance(text, str) or not text.strip():
        raise BadRequest("`text` must be a text that is not empty", param="text")
    if len(text) > LONGEST_TEXT:
        what = f"`text` has {len(text)} characters; a message has at most {LONGEST_TEXT}"
        raise BadRequest(what, code="message_too_long", param="text")
    if "\0" in text:
        raise BadRequest("`text` must have no NUL characters", param="text")
    return text


def receive(dialogue: Dialogue, text: str, client_id: UUID | None, *, by: str) -> Received:
    """Put a message on record, and open its turn. Raises Conflict, KeyReused."""
    with transaction.atomic(), not_barred():
        lock(dialogue)
        if client_id and (earlier := _earlier(dialogue, client_id)):
            return _again(dialogue, earlier, text)
        _refuse_if_over(dialogue)
        message = dialogue.add(Role.PERSON, Content([text]), client_id=client_id)
        dialogue.record(Action.DIALOGUE_MESSAGE, by, number=message.number)
        announce_on_commit(dialogue.pk)
        return _opened(dialogue, message)


def _earlier(dialogue: Dialogue, client_id: UUID) -> DialogueMessage | None:
    return dialogue.messages.filter(client_id=client_id).select_related("dialogue").first()


def _again(dialogue: Dialogue, message: DialogueMessage, text: str) -> Received:
    """Returns what is there of a message that is sent again; a failed turn is tried anew."""
    if message.content.text != text:
        what = "this `id` was sent with another text; send a new message with a new id"
        raise KeyReused(what, param="id")
    turn = message.turns.order_by("created_at").last()
    if turn and turn.step == TurnStep.FAILED and _is_last(dialogue, message):
        _refuse_if_over(dialogue)
        return _opened(dialogue, message)
    return Received(message, turn)


def _is_last(dialogue: Dialogue, message: DialogueMessage) -> bool:
    """Returns whether the person can have read nothing after it. Members' notes do not count."""
    later = dialogue.messages.filter(number__gt=message.number)
    return not later.exclude(role=Role.NOTE).exists()


def _refuse_if_over(dialogue: Dialogue) -> None:
    """Raises Conflict."""
    if dialogue.status == DialogueStatus.CLOSED:
        raise Conflict("this dialogue is closed; begin a new one", code="dialogue_closed")
    if dialogue.messages_count >= MOST_MESSAGES:
        text = f"a dialogue has at most {MOST_MESSAGES} messages; begin a new one"
        raise Conflict(text, code="dialogue_full")
    if dialogue.turns.open().exists():
        text = "the assistant still answers the last message; send this one after its answer"
        raise Conflict(text, code="dialogue_busy", retry_after=1)


def _opened(dialogue: Dialogue, message: DialogueMessage) -> Received:
    if dialogue.human_has_it:
        inbox_news.tell_on_commit(dialogue.tenant_id)
        return Received(message, None)
    if dialogue.status == DialogueStatus.RESOLVED:
        handing_over.resume_assistant(dialogue)
        dialogue.move(DialogueStatus.OPEN)
    lease = uuid4()
    turn = DialogueTurn(
        tenant_id=dialogue.tenant_id, dialogue=dialogue, question=message, lease=lease, attempts=1
    )
    turn.deadline, turn.leased_until = timezone.now() + DEADLINE, Now() + LEASE
    turn.save(force_insert=True)
    dialogue.turns_count += 1
    dialogue.save(update_fields=["turns_count"])
    return Received(message, turn, lease)


# The end -----------------------------------------------------------------------------------------
def close(
    dialogue: Dialogue, *, satisfaction: int | None, was_resolved: bool | None, by: str
) -> None:
    """Close a dialogue; an open turn ends without an answer. Its opinion may come later."""
    with transaction.atomic():
        dialogue.close(by=by, satisfaction=satisfaction, was_resolved=was_resolved)
        handing_over.end_with_person(dialogue)
        announce_on_commit(dialogue.pk)


def person_of(tenant_id: UUID, reference: str) -> Person:
    """Returns the person of a tenant's own reference. Raises BadRequest."""
    try:
        return Person.objects.of(tenant_id, reference)
    except ValidationError as problem:
        raise BadRequest("; ".join(problem.messages), param="person") from None
