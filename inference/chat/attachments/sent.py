"""The attachments that a question names, and their way from unsent ones to its own."""

from collections.abc import Iterable
from uuid import UUID, uuid4

from inference.chat.attachments import encryption, selection
from inference.chat.attachments.bounds import PER_MESSAGE
from inference.chat.attachments.words import refused
from inference.models import Attachment, Message
from tenants.models import Member


def named(member: Member, ids: Iterable[UUID], *, lock: bool = False) -> list[Attachment]:
    """Returns a member's attachments, in the order of their ids. Raises ChatRefused."""
    ids = list(dict.fromkeys(ids))
    if len(ids) > PER_MESSAGE:
        raise refused("too_many_attachments", most=PER_MESSAGE)
    if not ids:
        return []
    owned = selection.of_member(member).readable().filter(pk__in=ids)
    rows = {row.id: row for row in (owned.select_for_update(of=("self",)) if lock else owned)}
    if len(rows) < len(ids):
        raise refused("attachment_gone")
    return [rows[pk] for pk in ids]


def give_to(question: Message, member: Member, ids: Iterable[UUID]) -> None:
    """Give attachments to a stored question. One that another question has is copied.

    So an edited question keeps its files. Raises ChatRefused.
    """
    for number, attachment in enumerate(named(member, ids, lock=True)):
        row = attachment if attachment.message_id is None else _copy(attachment)
        row.message, row.number = question, number
        row.save()


def _copy(attachment: Attachment) -> Attachment:
    copy = Attachment.objects.get(pk=attachment.pk)
    copy.id, copy._state.adding = uuid4(), True
    encryption.encrypt_name(copy, encryption.name_of(attachment))
    encryption.encrypt_content(copy, encryption.content_of(attachment))
    return copy
