"""A person's opinion of an answer, with a reason that is encrypted as the answer is."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import Unreadable, keyring
from inference.chat.conversations import record
from inference.chat.problems import ChatRefused
from inference.models import Author, Conversation, Message, Rating

LONGEST_REASON = 1000


def rate(
    conversation: Conversation, message_id: UUID, rating: Rating | None, reason: str = ""
) -> Message:
    """Rate an answer, or take the rating back. Raises ChatRefused, Unreadable."""
    answers = conversation.messages.filter(author=Author.ASSISTANT).exclude(ciphertext=None)
    with transaction.atomic():
        message: Message | None = answers.select_for_update().filter(pk=message_id).first()
        if message is None:
            raise ChatRefused("not_found")
        message.rating = rating
        message.rated_at = None if rating is None else timezone.now()
        message.rating_ciphertext = _encrypted(message, "" if rating is None else reason)
        message.save(update_fields=["rating", "rated_at", "rating_ciphertext"])
        record(Action.CONVERSATION_RATE, conversation, message=str(message.pk), rating=rating)
    return message


def reason_of(message: Message) -> str:
    """Returns the reason; "" if there is none, or the key has been destroyed."""
    if message.rating_ciphertext is None:
        return ""
    try:
        cipher = keyring.by_id_now(message.data_key_id)
        return cipher.decrypt(bytes(message.rating_ciphertext), _aad(message)).decode()
    except Unreadable:
        return ""


def _encrypted(message: Message, reason: str) -> bytes | None:
    clean = reason.strip()[:LONGEST_REASON]
    if not clean:
        return None
    return keyring.by_id_now(message.data_key_id).encrypt(clean.encode(), _aad(message))


def _aad(message: Message) -> bytes:
    return b"inference_message|%b|%b|rating" % (message.tenant_id.bytes, message.pk.bytes)
