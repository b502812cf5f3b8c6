"""Chooses the branch that a conversation shows, and copies one into a conversation of its own."""

from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Length

from audit.keys.keyring import Cipher, Unreadable, keyring
from inference.chat import conversations
from inference.chat.attachments import sent
from inference.chat.attachments.selection import shown_by_message
from inference.chat.collection.temporary import is_temporary
from inference.chat.conversations import message_aad, title_of
from inference.chat.presets.settings import NO_SETTINGS, set_settings, settings_of
from inference.models import Attachment, Author, Conversation, Message
from tenants.models import Member


class NotInConversation(Exception):
    """The conversation has no such message."""


def choose(conversation: Conversation, message_id: UUID) -> None:
    """Show the branch with this message, on every page from now on. Raises NotInConversation."""
    if message_id not in conversation.tree():
        raise NotInConversation
    conversation.leaf_id = message_id
    conversation.save(update_fields=["leaf"])


def fork(conversation: Conversation, message_id: UUID) -> Conversation:
    """Create a conversation with copies of the messages up to this one, newly encrypted.

    Answers without a text are left out. Raises NotInConversation, Barred.
    """
    if message_id not in conversation.tree():
        raise NotInConversation
    member = conversation.member
    with transaction.atomic():
        title = title_of(conversation)
        temporary = is_temporary(member, wanted=conversation.temporary)
        copy = conversations.start(member, conversation.model, title, temporary=temporary)
        cipher = keyring.of_subject_now(member.tenant_id, member.subject_id)
        copies = _copies(conversation.branch(message_id), copy, cipher)
        Message.objects.bulk_create(copies.values())
        _copy_files(member, copies)
        if (settings := settings_of(conversation)) != NO_SETTINGS:
            set_settings(copy, settings)
        copy.leaf = next(reversed(copies.values()), None)
        copy.save(update_fields=["leaf"])
    return copy


def stored_bytes(conversation: Conversation) -> int:
    """Returns the bytes of all its messages and files, as they are stored."""
    size = Sum(Length("ciphertext"), default=0)
    files = Attachment.objects.filter(message__conversation=conversation)
    return sum(rows.aggregate(size=size)["size"] for rows in (conversation.messages, files))


def _copy_files(member: Member, copies: dict[UUID, Message]) -> None:
    for message_id, files in shown_by_message(copies).items():
        sent.give_to(copies[message_id], member, [file.id for file in files])


def _copies(messages: list[Message], copy: Conversation, cipher: Cipher) -> dict[UUID, Message]:
    """Returns the copies by the ids of what they copy, in order."""
    copies: dict[UUID, Message] = {}
    for message in messages:
        text = _stored_text(message)
        if text or (text is not None and message.author == Author.USER):  # files alone
            parent = next(reversed(copies.values()), None)
            copies[message.id] = _copy(message, text, copy, cipher, parent)
    return copies


def _stored_text(message: Message) -> bytes | None:
    """Returns the stored bytes, an answer's with its reasoning; None if they cannot be read."""
    try:
        stored = keyring.by_id_now(message.data_key_id)
        return stored.decrypt(bytes(message.ciphertext or b""), message_aad(message))
    except Unreadable:
        return None


def _copy(
    message: Message, text: bytes, copy: Conversation, cipher: Cipher, parent: Message | None
) -> Message:
    row = Message(
        id=uuid4(),
        tenant_id=copy.tenant_id,
        conversation=copy,
        author=message.author,
        data_key_id=cipher.key_id,
        finish_reason=message.finish_reason,
        created_at=message.created_at,
        parent=parent,
        is_first=parent is None,
        is_summary=message.is_summary,
    )
    row.ciphertext = cipher.encrypt(text, message_aad(row))
    return row
