"""A member's conversations, which nobody else can see, and their encrypted texts."""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from audit.actions import Action
from audit.keys.keyring import Unreadable, keyring
from audit.retention import legal_hold
from audit.trail.record import act
from inference.models import Author, Conversation, Message
from inference.reasoning import Said, parted, unpacked
from tenants.models import Member, TextLock, User
from tenants.models.tenant import State

TITLE_LENGTH = 60
LOCKED = Exists(
    TextLock.objects.filter(user=OuterRef("member__user"), before__gte=OuterRef("created_at"))
)


def of_member(member: Member) -> QuerySet[Conversation]:
    """Returns a member's, except for locked ones (tenants/accounts/text_lock.py)."""
    owned = Conversation.objects.filter(tenant_id=member.tenant_id, member=member)
    return owned.filter(~LOCKED).order_by("-updated_at")


def of_user(user: User, roles: Iterable[str]) -> QuerySet[Conversation]:
    """Returns those in every open tenant where the person has one of these roles."""
    open_tenants = Conversation.objects.filter(member__tenant__state=State.ACTIVE)
    owned = open_tenants.filter(~LOCKED, member__user=user, member__role__in=roles)
    return owned.select_related("member__tenant", "member__user")


def start(member: Member, model: str, first_text: str, *, temporary: bool = False) -> Conversation:
    """Create a conversation, titled with the first words of the first message.

    A temporary one has no title.
    """
    conversation = Conversation(id=uuid4(), tenant_id=member.tenant_id, member=member, model=model)
    conversation.temporary = temporary
    _set_title(conversation, member, "" if temporary else first_words(first_text))
    with transaction.atomic():
        conversation.save(force_insert=True)
        record(Action.CONVERSATION_CREATE, conversation)
    return conversation


def rename(conversation: Conversation, title: str) -> None:
    _set_title(conversation, conversation.member, " ".join(title.split())[:TITLE_LENGTH])
    conversation.save(update_fields=["data_key_id", "title_ciphertext"])


def delete(
    conversation: Conversation, before: Callable[[Conversation], None] | None = None
) -> bool:
    """Delete it with all its messages. Returns False if it is gone already. Raises OnHold.

    `before` runs first, in the same transaction, and finds all messages.
    """
    with transaction.atomic():
        refuse_if_held(conversation)
        # Who stores a question in it has the lock: its messages are here, or not yet begun.
        rows = Conversation.objects.select_for_update().filter(pk=conversation.pk)
        if rows.values_list("pk").first() is None:
            return False
        if before:
            before(conversation)
        record(Action.CONVERSATION_DELETE, conversation)
        conversation.delete()
    return True


def refuse_if_held(conversation: Conversation) -> None:
    """Raises OnHold if a legal hold protects it. Runs in a transaction."""
    legal_hold.refuse_if_held(conversation.tenant_id, conversation.member.subject_id)


def first_words(text: str) -> str:
    words = " ".join(text.split())
    if len(words) <= TITLE_LENGTH:
        return words
    head, _, _ = words[: TITLE_LENGTH - 1].rpartition(" ")
    return f"{head if len(head) > TITLE_LENGTH // 2 else words[: TITLE_LENGTH - 1]}…"


def _set_title(conversation: Conversation, member: Member, title: str) -> None:
    cipher = keyring.of_subject_now(member.tenant_id, member.subject_id)
    conversation.data_key_id = cipher.key_id
    conversation.title_ciphertext = cipher.encrypt(title.encode(), title_aad(conversation))


def record(action: Action, conversation: Conversation, **detail: Any) -> None:
    """Record an act of its member. The detail has no texts."""
    member = conversation.member
    act(
        action,
        actor=member.actor,
        tenant_id=conversation.tenant_id,
        subject_id=member.subject_id,
        detail={"conversation": str(conversation.id), **detail},
    )


# Texts: their associated data bind them to tenant and row ----------------------------------------
def title_aad(conversation: Conversation) -> bytes:
    ids = conversation.tenant_id.bytes, conversation.id.bytes
    return b"inference_conversation|%b|%b|title" % ids


def message_aad(message: Message) -> bytes:
    """Returns the data; for an answer with its completion's id, since the runner encrypts it."""
    is_question = message.author == Author.USER or message.completion_id is None
    row = message.id if is_question else message.completion_id
    assert row is not None
    return b"inference_message|%b|%b" % (message.conversation.tenant_id.bytes, row.bytes)


def title_of(conversation: Conversation) -> str:
    """Returns the title; "" if the member's key has been destroyed."""
    try:
        cipher, title = keyring.by_id_now(conversation.data_key_id), conversation.title_ciphertext
        return cipher.decrypt(bytes(title), title_aad(conversation)).decode()
    except Unreadable:
        return ""


def readable(message: Message) -> Said:
    """Returns what `said_in` returns, and nothing for what is unwritten or cannot be read."""
    try:
        return said_in(message) if message.ciphertext else Said("")
    except Unreadable:
        return Said("")


def said_in(message: Message) -> Said:
    """Returns the text, and the reasoning before an answer. Raises Unreadable."""
    cipher = keyring.by_id_now(message.data_key_id)
    words = unpacked(cipher.decrypt(bytes(message.ciphertext or b""), message_aad(message)))
    return words if message.author == Author.USER else parted(words)
