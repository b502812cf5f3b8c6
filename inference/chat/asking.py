"""A question and the place for its answer: two rows, there before the request can run.

They are made once the request is on record: what is refused leaves nothing in the chat.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.keyring import Unreadable, keyring
from inference.chat import conversations
from inference.chat.answers import turns
from inference.chat.protocol import Send
from inference.chat.refusal import Refused
from inference.chat.sealing import message_place, said_in
from inference.models import Author, Conversation, Message
from tenants.models import Member

MAX_HISTORY = 200  # turns that are looked at for the prompt


@dataclass(frozen=True)
class Asked:
    conversation: Conversation
    question: Message
    answer: Message


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


def prompt_messages(member: Member, send: Send) -> list[dict[str, str]]:
    """The conversation so far and the question. Raises Refused."""
    told = [{"role": Author.USER.value, "content": send.text}]
    if send.conversation is None:
        return told
    conversation = _own(member, send.conversation)
    _refuse_if_busy(conversation)
    said = conversation.messages.exclude(sealed=None).select_related("conversation")
    latest = reversed(said.order_by("-created_at")[:MAX_HISTORY])
    return [spoken for message in latest if (spoken := _spoken(message))] + told


def _spoken(message: Message) -> dict[str, str] | None:
    """Without the reasoning: models are not shown how they came to an answer."""
    try:
        text = said_in(message).text
    except Unreadable:
        return None
    return {"role": message.author, "content": text} if text else None


def put(member: Member, send: Send, completion_id: UUID) -> Asked:
    """Raises Refused."""
    with transaction.atomic():
        conversation = _conversation(member, send)
        question, answer = _rows(member, send, conversation, completion_id)
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
    unsealed = conversation.messages.filter(sealed=None).select_related("conversation")
    if any(turn.streaming for turn in turns(unsealed)):
        raise Refused("busy")


def _rows(
    member: Member, send: Send, conversation: Conversation, completion_id: UUID
) -> tuple[Message, Message]:
    sealer = keyring.of_subject_now(member.tenant_id, member.subject_id)
    now = timezone.now()
    question = Message(
        id=send.message,
        tenant_id=member.tenant_id,
        conversation=conversation,
        author=Author.USER,
        data_key_id=sealer.key_id,
        created_at=now,
    )
    question.sealed = sealer.seal(send.text.encode(), message_place(question))
    answer = Message(
        id=uuid4(),
        tenant_id=member.tenant_id,
        conversation=conversation,
        author=Author.ASSISTANT,
        completion_id=completion_id,
        data_key_id=sealer.key_id,
        created_at=now + timedelta(microseconds=1),
    )
    return question, answer
