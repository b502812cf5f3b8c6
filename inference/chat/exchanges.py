"""Stores a question and the row of its answer before the request can run.

They are created once the request is recorded, so a refused one leaves nothing in the chat.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.keys.keyring import keyring
from inference.chat import conversations
from inference.chat.attachments import sent
from inference.chat.attachments.encryption import name_of
from inference.chat.collection.temporary import is_temporary
from inference.chat.conversations import message_aad
from inference.chat.placement import Request, placement
from inference.chat.presets.settings import set_settings
from inference.chat.problems import ChatRefused
from inference.chat.protocol import Again, Send
from inference.models import Author, Conversation, Message
from inference.queue.expected_wait import Place
from tenants.models import Member

AFTER = timedelta(microseconds=1)  # a message comes after the one that it follows


@dataclass(frozen=True)
class Exchange:
    """A new answer, and what it answers or continues."""

    conversation: Conversation
    question: Message
    answer: Message
    place: Callable[[], Place] = Place  # its present place in the queue


def existing_exchange(member: Member, request: Request) -> Exchange | None:
    """Returns the exchange of a message that the page repeats after a lost acknowledgement."""
    own = Message.objects.filter(conversation__in=conversations.of_member(member))
    message = own.select_related("conversation").filter(pk=request.message).first()
    if message is None:
        return None
    if isinstance(request, Again):
        return _exchange_to(message) if message.completion_id and message.parent else None
    return _exchange_of(message) if message.author == Author.USER else None


def _exchange_to(answer: Message) -> Exchange:
    assert answer.parent
    return Exchange(answer.conversation, answer.parent, answer)


def _exchange_of(question: Message) -> Exchange | None:
    later = question.conversation.messages.filter(created_at__gt=question.created_at)
    answer = later.filter(author=Author.ASSISTANT).order_by("created_at").first()
    return Exchange(question.conversation, question, answer) if answer else None


def put(member: Member, request: Request, completion_id: UUID, left_out: int = 0) -> Exchange:
    """Store an exchange, once. `left_out` messages are not in the request. Raises ChatRefused."""
    try:
        return _put(member, request, completion_id, left_out)
    except ChatRefused:  # perhaps another process has stored it: recorded_exchange.py
        stored = existing_exchange(member, request)
        if stored is None or stored.answer.completion_id != completion_id:
            raise
        return stored


def _put(member: Member, request: Request, completion_id: UUID, left_out: int) -> Exchange:
    with transaction.atomic():
        exchange = _exchange(member, request)
        answer, conversation = exchange.answer, exchange.conversation
        answer.completion_id, answer.left_out = completion_id, left_out
        _create([row for row in (exchange.question, answer) if row._state.adding])
        if isinstance(request, Send):
            sent.give_to(exchange.question, member, request.attachments)
        conversation.updated_at, conversation.leaf = answer.created_at, answer
        conversation.model = request.model
        conversation.save(update_fields=["updated_at", "model", "leaf"])
    return exchange


def _create(rows: list[Message]) -> None:
    try:
        with transaction.atomic():
            Message.objects.bulk_create(rows)
    except IntegrityError:
        raise ChatRefused("invalid_message") from None  # the id exists already


def _exchange(member: Member, request: Request) -> Exchange:
    place = placement(member, request, lock=True)
    if isinstance(request, Send):
        conversation = place.conversation if place else _started(member, request)
        question = _question(member, request, conversation, place.branch if place else [])
        summary, answer_id = request.summary, uuid4()
    else:
        assert place
        conversation = place.conversation
        (question,) = conversation.messages_of(place.branch[-1:])
        summary, answer_id = question.is_summary, request.message
    answer = _row(member, conversation, answer_id, question)
    answer.author, answer.is_summary = Author.ASSISTANT, summary
    return Exchange(conversation, question, answer)


def _started(member: Member, send: Send) -> Conversation:
    temporary = is_temporary(member, wanted=send.temporary)
    text = send.text or _names(member, send)
    conversation = conversations.start(member, send.model, text, temporary=temporary)
    if send.settings:
        set_settings(conversation, send.settings)
    return conversation


def _names(member: Member, send: Send) -> str:
    """Returns the names of the files, which title a conversation that begins with files alone."""
    return ", ".join(name_of(file) for file in sent.named(member, send.attachments))


def _question(
    member: Member, send: Send, conversation: Conversation, branch: list[UUID]
) -> Message:
    parents = conversation.messages_of(branch[-1:])
    question = _row(member, conversation, send.message, parents[0] if parents else None)
    question.author, question.is_summary, question.is_first = Author.USER, send.summary, not parents
    cipher = keyring.by_id_now(question.data_key_id)
    question.ciphertext = cipher.encrypt(send.text.encode(), message_aad(question))
    return question


def _row(
    member: Member, conversation: Conversation, message_id: UUID, parent: Message | None
) -> Message:
    return Message(
        id=message_id,
        tenant_id=member.tenant_id,
        conversation=conversation,
        data_key_id=keyring.of_subject_now(member.tenant_id, member.subject_id).key_id,
        created_at=_after(parent),
        parent=parent,
    )


def _after(parent: Message | None) -> datetime:
    """Returns the time of a new message: after its parent's, though hosts' clocks differ."""
    now = timezone.now()
    return max(now, parent.created_at + AFTER) if parent else now
