"""Encrypts the texts of documents, each document's under a key of its own."""

import msgspec

from audit.keys import keyring as keys
from audit.keys.keyring import Cipher, keyring
from inference.models import Document, DocumentPiece, Passage


class Text(msgspec.Struct, frozen=True, array_like=True):
    """The text of a passage, with the titles above it, and the anchor of its section."""

    titles: list[str]
    anchor: str
    text: str
    url: str = ""  # of an entry that has a page of its own


def cipher_for(document: Document) -> Cipher:
    """Returns the document's key, made on first use. Raises MasterKeyUnavailable."""
    return keyring.of_subject_now(document.tenant_id, document.id)


def destroy_key(document: Document) -> None:
    keys.destroy(document.tenant_id, document.id)


def encrypt_piece(piece: DocumentPiece, clear: bytes) -> None:
    cipher = cipher_for(piece.document)
    piece.data_key_id, piece.size = cipher.key_id, len(clear)
    piece.ciphertext = cipher.encrypt(clear, _piece_aad(piece))


def clear_piece(piece: DocumentPiece) -> bytes:
    """Raises Unreadable, MasterKeyUnavailable."""
    cipher = keyring.by_id_now(piece.data_key_id)
    return cipher.decrypt(bytes(piece.ciphertext), _piece_aad(piece))


def encrypt_passage(cipher: Cipher, document: Document, number: int, text: Text) -> bytes:
    clear = msgspec.msgpack.encode(text)
    return cipher.encrypt(clear, _passage_aad(document.id.bytes, number))


def clear_passage(passage: Passage) -> Text:
    """Raises Unreadable, MasterKeyUnavailable."""
    cipher = keyring.by_id_now(passage.data_key_id)
    aad = _passage_aad(passage.document_id.bytes, passage.number)
    return msgspec.msgpack.decode(cipher.decrypt(bytes(passage.ciphertext), aad), type=Text)


def _piece_aad(piece: DocumentPiece) -> bytes:
    return b"inference_documentpiece|%b|%d" % (piece.document_id.bytes, piece.number)


def _passage_aad(document_id: bytes, number: int) -> bytes:
    return b"inference_passage|%b|%d" % (document_id, number)
