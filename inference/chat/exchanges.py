"""Stores a question and the row of its answer before the request can run.

They are created once the request is recorded, so a refused one leaves nothing in the chat.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.keys.keyring import Unreadable, keyring
from inference.chat import conversations, prompt
from inference.chat.answers import turns
from inference.chat.attachments import sent
from inference.chat.attachments.composing import composed
from inference.chat.attachments.selection import contents_by_message
from inference.chat.content import Content
from inference.chat.conversations import message_aad, said_in
from inference.chat.library.temporary import is_temporary
from inference.chat.problems import ChatRefused
from inference.chat.prompt import Earlier
from inference.chat.protocol import Send
from inference.intake.access.allowed import behind
from inference.models import Attachment, Author, Conversation, Message, Usage
from inference.queue.expected_wait import Place
from tenants.models import Member

MAX_HISTORY = 200  # messages that are considered for the prompt
AFTER = timedelta(microseconds=1)  # an answer comes after its question
TOO_LONG = "context_length_exceeded"


@dataclass(frozen=True)
class Exchange:
    conversation: Conversation
    question: Message
    answer: Message
    place: Callable[[], Place] = Place  # its present place in the queue


def existing_exchange(member: Member, message_id: UUID) -> Exchange | None:
    """Returns the exchange of a message that the page repeats after a lost acknowledgement."""
    own = Message.objects.filter(conversation__in=conversations.of_member(member))
    own = own.select_related("conversation")
    question = own.filter(pk=message_id, author=Author.USER).first()
    if question is None:
        return None
    later = own.filter(conversation=question.conversation, created_at__gt=question.created_at)
    answer = later.filter(author=Author.ASSISTANT).order_by("created_at").first()
    return Exchange(question.conversation, question, answer) if answer else None


def earlier(member: Member, send: Send) -> Earlier:
    """Returns the conversation so far. Raises ChatRefused."""
    if send.conversation is None:
        return Earlier()
    _refuse_if_busy(_own(member, send.conversation))
    return so_far(member, send.conversation, send.model)


def so_far(member: Member, conversation_id: UUID, model: str) -> Earlier:
    """Returns the shown branch as a model gets it. Raises ChatRefused."""
    conversation = _own(member, conversation_id)
    ids = conversation.tree().shown(conversation.leaf_id)
    rows = conversation.messages_of(ids[-MAX_HISTORY:])
    older = len(ids) - len(rows)
    usage = Usage.objects.in_bulk([row.completion_id for row in rows if row.completion_id])
    return _earlier(rows, usage, behind(member.tenant_id, model), older)


def _earlier(rows: list[Message], usage: dict[UUID, Usage], model: str, older: int) -> Earlier:
    messages, dropped, scale, too_long = list[prompt.Message](), older, 1.0, 0
    files = contents_by_message(rows)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        end = usage.get(row.completion_id) if row.completion_id else None
        if _was_too_long(row, usage):
            too_long += 1
        elif end and not end.error_code and end.prompt_tokens and end.public_model == model:
            count = max(1, len(messages) + dropped - row.left_out)  # messages of that prompt
            scale, too_long = prompt.scale(messages[-count:], end.prompt_tokens), 0
        if _was_too_long(following, usage):
            dropped += 1
        elif message := _message(row, files.get(row.id, [])):
            messages.append(message)
    return Earlier(messages, dropped, scale, too_long)


def _was_too_long(answer: Message | None, usage: dict[UUID, Usage]) -> bool:
    end = usage.get(answer.completion_id) if answer and answer.completion_id else None
    return bool(end and end.error_code == TOO_LONG)


def _message(message: Message, files: list[Attachment]) -> prompt.Message | None:
    """Returns the message without its reasoning, which models are not shown."""
    try:
        text = said_in(message).text if message.ciphertext else ""
        return {"role": message.author, "content": composed(text, files)} if text else None
    except Unreadable:
        return None


def question(member: Member, send: Send) -> Content:
    """Returns what the model reads of a question. Raises ChatRefused."""
    return composed(send.text, sent.named(member, send.attachments))


def put(member: Member, send: Send, completion_id: UUID, left_out: int = 0) -> Exchange:
    """Store an exchange. `left_out` messages are not in the request. Raises ChatRefused."""
    with transaction.atomic():
        conversation = _conversation(member, send)
        question, answer = _rows(member, send, conversation, completion_id)
        answer.left_out = left_out
        try:
            with transaction.atomic():
                Message.objects.bulk_create([question, answer])
        except IntegrityError:
            raise ChatRefused("invalid_message") from None  # the id exists already
        sent.give_to(question, member, send.attachments)
        conversation.updated_at, conversation.model = question.created_at, send.model
        conversation.leaf = answer
        conversation.save(update_fields=["updated_at", "model", "leaf"])
    return Exchange(conversation, question, answer)


def _conversation(member: Member, send: Send) -> Conversation:
    """Returns the conversation, locked, so that two tabs cannot ask in it at the same time."""
    if send.conversation is None:
        temporary = is_temporary(member, wanted=send.temporary)
        return conversations.start(member, send.model, send.text, temporary=temporary)
    conversation = _own(member, send.conversation, lock=True)
    _refuse_if_busy(conversation)
    return conversation


def _own(member: Member, conversation_id: UUID, *, lock: bool = False) -> Conversation:
    owned = conversations.of_member(member).filter(pk=conversation_id)
    conversation = (owned.select_for_update(of=("self",)) if lock else owned).first()
    if conversation is None:
        raise ChatRefused("not_found")
    return conversation


def _refuse_if_busy(conversation: Conversation) -> None:
    unanswered = conversation.messages.filter(ciphertext=None).select_related("conversation")
    if any(turn.streaming for turn in turns(unanswered)):
        raise ChatRefused("busy")


def _rows(
    member: Member, send: Send, conversation: Conversation, completion_id: UUID
) -> tuple[Message, Message]:
    cipher = keyring.of_subject_now(member.tenant_id, member.subject_id)
    newest = conversation.branch(newest=1)
    parent = newest[0] if newest else None
    now = _after(parent)
    message = partial(
        Message,
        tenant_id=member.tenant_id,
        conversation=conversation,
        data_key_id=cipher.key_id,
    )
    question = message(id=send.message, author=Author.USER, created_at=now, parent=parent)
    question.is_first = parent is None
    question.ciphertext = cipher.encrypt(send.text.encode(), message_aad(question))
    answer = message(id=uuid4(), author=Author.ASSISTANT, created_at=now + AFTER, parent=question)
    answer.completion_id = completion_id
    return question, answer


def _after(parent: Message | None) -> datetime:
    """Returns the time of a new message: after its parent's, though hosts' clocks differ."""
    now = timezone.now()
    return max(now, parent.created_at + AFTER) if parent else now
