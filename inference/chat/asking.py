"""A question and the place for its answer: two rows, there before the request can run.

They are made once the request is on record: what is refused leaves nothing in the chat.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.keys.keyring import Unreadable, keyring
from inference.chat import conversations, prompt
from inference.chat.answers import turns
from inference.chat.encryption import message_aad, said_in
from inference.chat.prompt import Earlier
from inference.chat.protocol import Send
from inference.chat.refusal import Refused
from inference.models import Author, Conversation, Message, Usage
from inference.queue.expected_wait import Place
from tenants.models import Member

MAX_HISTORY = 200  # messages that are looked at for the prompt
TOO_LONG = "context_length_exceeded"


@dataclass(frozen=True)
class Asked:
    conversation: Conversation
    question: Message
    answer: Message
    place: Callable[[], Place] = Place  # where it stands in its queue by now


def asked_before(member: Member, message_id: UUID) -> Asked | None:
    """When the page repeats a message whose acknowledgement got lost."""
    own = Message.objects.filter(conversation__in=conversations.of_member(member))
    own = own.select_related("conversation")
    question = own.filter(pk=message_id, author=Author.USER).first()
    if question is None:
        return None
    later = own.filter(conversation=question.conversation, created_at__gt=question.created_at)
    answer = later.filter(author=Author.ASSISTANT).order_by("created_at").first()
    return Asked(question.conversation, question, answer) if answer else None


def earlier(member: Member, send: Send) -> Earlier:
    """The conversation so far. Raises Refused."""
    if send.conversation is None:
        return Earlier()
    conversation = _own(member, send.conversation)
    _refuse_if_busy(conversation)
    newest = conversation.messages.select_related("conversation").order_by("-created_at")
    rows = list(newest[:MAX_HISTORY])[::-1]
    older = conversation.messages.count() - len(rows) if len(rows) == MAX_HISTORY else 0
    usage = Usage.objects.in_bulk([row.completion_id for row in rows if row.completion_id])
    return _told(rows, usage, send.model, older)


def _told(rows: list[Message], usage: dict[UUID, Usage], model: str, older: int) -> Earlier:
    said, dropped, scale, too_long = list[prompt.Message](), older, 1.0, 0
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        end = usage.get(row.completion_id) if row.completion_id else None
        if _was_too_long(row, usage):
            too_long += 1
        elif end and not end.error_code and end.prompt_tokens and end.model == model:
            read = max(1, len(said) + dropped - row.left_out)  # messages of that prompt
            scale, too_long = prompt.scale(said[-read:], end.prompt_tokens), 0
        if _was_too_long(following, usage):
            dropped += 1
        elif spoken := _spoken(row):
            said.append(spoken)
    return Earlier(said, dropped, scale, too_long)


def _was_too_long(answer: Message | None, usage: dict[UUID, Usage]) -> bool:
    end = usage.get(answer.completion_id) if answer and answer.completion_id else None
    return bool(end and end.error_code == TOO_LONG)


def _spoken(message: Message) -> prompt.Message | None:
    """Without the reasoning: models are not shown how they came to an answer."""
    try:
        text = said_in(message).text if message.ciphertext else ""
    except Unreadable:
        return None
    return {"role": message.author, "content": text} if text else None


def put(member: Member, send: Send, completion_id: UUID, left_out: int = 0) -> Asked:
    """`left_out`: messages that the request does not carry along. Raises Refused."""
    with transaction.atomic():
        conversation = _conversation(member, send)
        question, answer = _rows(member, send, conversation, completion_id)
        answer.left_out = left_out
        try:
            with transaction.atomic():
                Message.objects.bulk_create([question, answer])
        except IntegrityError:
            raise Refused("invalid_message") from None  # an id that is somebody's already
        conversation.updated_at, conversation.model = question.created_at, send.model
        conversation.save(update_fields=["updated_at", "model"])
    return Asked(conversation, question, answer)


def _conversation(member: Member, send: Send) -> Conversation:
    """Locked, so that two tabs cannot ask in it at the same time."""
    if send.conversation is None:
        return conversations.start(member, send.model, send.text)
    conversation = _own(member, send.conversation, lock=True)
    _refuse_if_busy(conversation)
    return conversation


def _own(member: Member, conversation_id: UUID, *, lock: bool = False) -> Conversation:
    owned = conversations.of_member(member).filter(pk=conversation_id)
    found = (owned.select_for_update(of=("self",)) if lock else owned).first()
    if found is None:
        raise Refused("not_found")
    return found


def _refuse_if_busy(conversation: Conversation) -> None:
    unanswered = conversation.messages.filter(ciphertext=None).select_related("conversation")
    if any(turn.streaming for turn in turns(unanswered)):
        raise Refused("busy")


def _rows(
    member: Member, send: Send, conversation: Conversation, completion_id: UUID
) -> tuple[Message, Message]:
    cipher = keyring.of_subject_now(member.tenant_id, member.subject_id)
    now = timezone.now()
    question = Message(
        id=send.message,
        tenant_id=member.tenant_id,
        conversation=conversation,
        author=Author.USER,
        data_key_id=cipher.key_id,
        created_at=now,
    )
    question.ciphertext = cipher.encrypt(send.text.encode(), message_aad(question))
    answer = Message(
        id=uuid4(),
        tenant_id=member.tenant_id,
        conversation=conversation,
        author=Author.ASSISTANT,
        completion_id=completion_id,
        data_key_id=cipher.key_id,
        created_at=now + timedelta(microseconds=1),
    )
    return question, answer
