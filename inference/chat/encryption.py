"""Where the chat's ciphertexts belong: each is bound to its tenant and row."""

from audit.keys.keyring import Unreadable, keyring
from inference.models import Author, Conversation, Message
from inference.reasoning import Said, parted, unpacked


def title_aad(conversation: Conversation) -> bytes:
    return b"inference_conversation|%b|%b|title" % (
        conversation.tenant_id.bytes,
        conversation.id.bytes,
    )


def message_aad(message: Message) -> bytes:
    """An answer has its completion's id: its text is encrypted by the runner."""
    asked = message.author == Author.USER or message.completion_id is None
    row = message.id if asked else message.completion_id
    assert row is not None
    return b"inference_message|%b|%b" % (message.conversation.tenant_id.bytes, row.bytes)


def title_of(conversation: Conversation) -> str:
    """ "" when the member's key has been destroyed."""
    try:
        cipher = keyring.by_id_now(conversation.data_key_id)
        return cipher.decrypt(
            bytes(conversation.title_ciphertext), title_aad(conversation)
        ).decode()
    except Unreadable:
        return ""


def said_in(message: Message) -> Said:
    """What it says, and the reasoning before an answer. Raises Unreadable."""
    cipher = keyring.by_id_now(message.data_key_id)
    said = unpacked(cipher.decrypt(bytes(message.ciphertext or b""), message_aad(message)))
    return said if message.author == Author.USER else parted(said)
