"""Encrypts names and contents of attachments under their member's key, bound to their rows."""

from audit.keys.keyring import Unreadable, keyring
from inference.models import Attachment, AttachmentPiece


def encrypt_name(attachment: Attachment, name: str) -> None:
    """Raises Barred, MasterKeyUnavailable."""
    member = attachment.member
    cipher = keyring.of_subject_now(attachment.tenant_id, member.subject_id)
    attachment.data_key_id = cipher.key_id
    attachment.name_ciphertext = cipher.encrypt(name.encode(), _aad(attachment, b"name"))


def encrypt_content(attachment: Attachment, content: bytes) -> None:
    """Encrypt it under the key of its name."""
    cipher = keyring.by_id_now(attachment.data_key_id)
    attachment.ciphertext = cipher.encrypt(content, _aad(attachment, b"content"))


def name_of(attachment: Attachment) -> str:
    """Returns the name; "" if the member's key has been destroyed."""
    try:
        cipher = keyring.by_id_now(attachment.data_key_id)
        return cipher.decrypt(bytes(attachment.name_ciphertext), _aad(attachment, b"name")).decode()
    except Unreadable:
        return ""


def content_of(attachment: Attachment) -> bytes:
    """Returns the text in UTF-8, or the image. Raises Unreadable, MasterKeyUnavailable."""
    cipher = keyring.by_id_now(attachment.data_key_id)
    return cipher.decrypt(bytes(attachment.ciphertext or b""), _aad(attachment, b"content"))


def encrypt_piece(piece: AttachmentPiece, clear: bytes) -> None:
    cipher = keyring.by_id_now(piece.attachment.data_key_id)
    piece.data_key_id, piece.size = cipher.key_id, len(clear)
    piece.ciphertext = cipher.encrypt(clear, _piece_aad(piece))


def clear_piece(piece: AttachmentPiece) -> bytes:
    """Raises Unreadable, MasterKeyUnavailable."""
    cipher = keyring.by_id_now(piece.data_key_id)
    return cipher.decrypt(bytes(piece.ciphertext), _piece_aad(piece))


def _aad(attachment: Attachment, field: bytes) -> bytes:
    ids = attachment.tenant_id.bytes, attachment.id.bytes
    return b"inference_attachment|%b|%b|%b" % (*ids, field)


def _piece_aad(piece: AttachmentPiece) -> bytes:
    return b"inference_attachmentpiece|%b|%d" % (piece.attachment_id.bytes, piece.number)
