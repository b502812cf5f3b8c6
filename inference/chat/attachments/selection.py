"""Attachments that a person may see, and their description for a page."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.urls import reverse

from inference.chat.attachments.encryption import name_of
from inference.chat.conversations import LOCKED
from inference.chat.membership import CHATTING
from inference.chat.protocol import Attached
from inference.models import Attachment, Message
from inference.models.chat.attachment import AttachmentQuerySet
from tenants.models import Member, User
from tenants.models.tenant import State

MOST_TOKENS, MOST_BYTES = 2_000_000, 64 << 20


def of_user(user: User) -> AttachmentQuerySet:
    """Returns those in every open tenant where the person may chat, except for locked ones."""
    owned = Attachment.objects.filter(
        member__user=user, member__role__in=CHATTING, member__tenant__state=State.ACTIVE
    )
    return owned.filter(~LOCKED).select_related("member__tenant", "member__user")


def of_member(member: Member) -> AttachmentQuerySet:
    owned = Attachment.objects.filter(tenant_id=member.tenant_id, member=member)
    return owned.filter(~LOCKED).select_related("member")


def shown_by_message(message_ids: Iterable[UUID]) -> dict[UUID, list[Attached]]:
    """Returns the described attachments of each message that has any, in one query."""
    rows = Attachment.objects.filter(message__in=list(message_ids))
    of_each: dict[UUID, list[Attached]] = {}
    for attachment in rows.defer("ciphertext").order_by("number"):
        assert attachment.message_id
        of_each.setdefault(attachment.message_id, []).append(described(attachment))
    return of_each


def contents_by_message(messages: Sequence[Message]) -> dict[UUID, list[Attachment]]:
    """Returns the attachments of each message, with their contents; of the newest ones first.

    It stops where they are longer than any model's context, or as large as a process may hold of
    one conversation: each is decrypted for a prompt.
    """
    rows = Attachment.objects.filter(message__in=[message.id for message in messages])
    of_each: dict[UUID, list[Attachment]] = {}
    tokens = size = 0
    for attachment in rows.order_by("-message__created_at", "number").iterator(10):
        assert attachment.message_id
        tokens += attachment.tokens
        size += len(attachment.ciphertext or b"")
        if tokens > MOST_TOKENS or size > MOST_BYTES:
            break
        of_each.setdefault(attachment.message_id, []).append(attachment)
    return of_each


def described(attachment: Attachment) -> Attached:
    return Attached(
        id=attachment.id,
        name=name_of(attachment),
        kind=attachment.kind,
        size=attachment.size,
        pages=attachment.pages,
        tokens=attachment.tokens,
        url=reverse("chat:attachment", args=[attachment.id]),
    )
