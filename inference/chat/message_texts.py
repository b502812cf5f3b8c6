"""Associated data of the chat's ciphertexts, which binds them to tenant and row."""

from audit.keys.keyring import Unreadable, keyring
from inference.models import Author, Conversation, Message
from inference.reasoning import Said, parted, unpacked


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


def said_in(message: Message) -> Said:
    """Returns the text, and the reasoning before an answer. Raises Unreadable."""
    cipher = keyring.by_id_now(message.data_key_id)
    words = unpacked(cipher.decrypt(bytes(message.ciphertext or b""), message_aad(message)))
    return words if message.author == Author.USER else parted(words)
