"""Pins, the archive, folders and deletion of several conversations at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from django.utils import timezone

from audit.retention.legal_hold import OnHold
from inference.chat import conversations
from inference.chat.conversations import title_of
from inference.chat.problems import problem
from inference.chat.protocol import Problem
from inference.models import Conversation, ConversationFolder
from tenants.models import Member

MOST_AT_ONCE = 500  # conversations of one deletion


def pin(conversation: Conversation, *, pinned: bool) -> None:
    conversation.pinned_at = timezone.now() if pinned else None
    conversation.save(update_fields=["pinned_at"])


def archive(conversation: Conversation, *, archived: bool) -> None:
    """Move it into the archive or out of it. It is unpinned there."""
    conversation.archived_at = timezone.now() if archived else None
    conversation.pinned_at = None
    conversation.save(update_fields=["archived_at", "pinned_at"])


def move(conversation: Conversation, folder: ConversationFolder | None) -> None:
    conversation.folder = folder
    conversation.save(update_fields=["folder"])


@dataclass(frozen=True, slots=True)
class NotDeleted:
    id: UUID
    title: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class DeletionReport:
    deleted: list[UUID] = field(default_factory=list)
    not_deleted: list[NotDeleted] = field(default_factory=list)


def delete_many(
    member: Member, ids: Iterable[UUID], before_each: Callable[[Conversation], None]
) -> DeletionReport:
    """Delete the member's conversations one by one; one that a legal hold keeps stays.

    `before_each` runs in the transaction of each deletion.
    """
    report = DeletionReport()
    for conversation in conversations.of_member(member).filter(pk__in=list(ids)):
        key = conversation.pk
        try:
            conversations.delete(conversation, before_each)
            report.deleted.append(key)
        except OnHold:
            row = NotDeleted(key, title_of(conversation), problem("on_hold"))
            report.not_deleted.append(row)
    return report
