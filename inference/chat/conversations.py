"""A member's conversations, which nobody else can see."""

from collections.abc import Iterable
from uuid import uuid4

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.retention import legal_hold
from audit.trail.record import act
from inference.chat.message_texts import title_aad
from inference.models import Conversation
from tenants.models import Member, TextLock, User
from tenants.models.tenant import State

TITLE_LENGTH = 60
LOCKED = Exists(
    TextLock.objects.filter(user=OuterRef("member__user"), before__gte=OuterRef("created_at"))
)


def of_member(member: Member) -> QuerySet[Conversation]:
    """Returns a member's, except for locked ones (tenants/accounts/locked_texts.py)."""
    owned = Conversation.objects.filter(tenant_id=member.tenant_id, member=member)
    return owned.filter(~LOCKED).order_by("-updated_at")


def of_user(user: User, roles: Iterable[str]) -> QuerySet[Conversation]:
    """Returns those in every open tenant where the person has one of these roles."""
    open_tenants = Conversation.objects.filter(member__tenant__state=State.ACTIVE)
    owned = open_tenants.filter(~LOCKED, member__user=user, member__role__in=roles)
    return owned.select_related("member__tenant", "member__user")


def start(member: Member, model: str, first_text: str) -> Conversation:
    """Create a conversation, titled with the first words of the first message."""
    conversation = Conversation(id=uuid4(), tenant_id=member.tenant_id, member=member, model=model)
    _set_title(conversation, member, first_words(first_text))
    with transaction.atomic():
        conversation.save(force_insert=True)
        _record(Action.CONVERSATION_CREATE, conversation, member)
    return conversation


def rename(conversation: Conversation, title: str) -> None:
    _set_title(conversation, conversation.member, " ".join(title.split())[:TITLE_LENGTH])
    conversation.save(update_fields=["data_key_id", "title_ciphertext"])


def delete(conversation: Conversation) -> None:
    """Delete it with all its messages. Raises OnHold."""
    with transaction.atomic():
        refuse_if_held(conversation)
        _record(Action.CONVERSATION_DELETE, conversation, conversation.member)
        conversation.delete()


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


def _record(action: Action, conversation: Conversation, member: Member) -> None:
    act(
        action,
        actor=member.actor,
        tenant_id=conversation.tenant_id,
        subject_id=member.subject_id,
        detail={"conversation": str(conversation.id)},
    )
