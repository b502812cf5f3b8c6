"""Keys and associated data of chunks.

Rows of a person are under that person's key, so that an erasure makes them unreadable in backups
too. Everything else of a version is under a key of its own: its id is the key's subject. Deleting
the version destroys that key.
"""

from typing import Any
from uuid import UUID

from audit.keys import keyring as keys
from audit.keys.keyring import Cipher, keyring
from inference.models import DataSetChunk, DataSetVersion


def cipher_for(version: DataSetVersion, subject_id: UUID | None) -> Cipher:
    """Returns the key for new rows. Raises Barred for an erased person."""
    return keyring.of_subject_now(version.tenant_id, subject_id or version.id)


def encrypt(chunk: DataSetChunk, clear: bytes) -> None:
    """Set key, size and ciphertext of a chunk. Raises Barred."""
    cipher = cipher_for(chunk.version, chunk.subject_id)
    chunk.data_key_id, chunk.size = cipher.key_id, len(clear)
    chunk.ciphertext = cipher.encrypt(clear, _aad(chunk))


def decrypted(chunk: DataSetChunk) -> bytes:
    """Raises Unreadable, of a person whose data is erased or restricted."""
    cipher = keyring.by_id_now(chunk.data_key_id)
    return cipher.decrypt(bytes(chunk.ciphertext), _aad(chunk))


def destroy_key(version: DataSetVersion) -> dict[str, Any]:
    """Destroy the version's own key. Returns the evidence of `audit.keys.keyring.destroy`."""
    return keys.destroy(version.tenant_id, version.id)


def _aad(chunk: DataSetChunk) -> bytes:
    place = chunk.tenant_id.bytes, chunk.version_id.bytes, chunk.part.encode(), chunk.number
    return b"inference_datasetchunk|%b|%b|%b|%d" % place
