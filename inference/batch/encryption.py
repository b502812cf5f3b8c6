"""Associated data of files' and batches' ciphertexts, which binds them to tenant, row and field."""

import orjson

from audit.keys.keyring import Cipher, Unreadable, keyring
from inference.models import Batch, File


def name_aad(file: File) -> bytes:
    return b"inference_file|%b|%b|name" % (file.tenant_id.bytes, file.id.bytes)


def chunk_aad(file: File, number: int) -> bytes:
    return b"inference_filechunk|%b|%b|%d" % (file.tenant_id.bytes, file.id.bytes, number)


def metadata_aad(batch: Batch) -> bytes:
    return b"inference_batch|%b|%b|metadata" % (batch.tenant_id.bytes, batch.id.bytes)


def error_aad(batch: Batch, number: int) -> bytes:
    return b"inference_batchline|%b|%b|%d" % (batch.tenant_id.bytes, batch.id.bytes, number)


def cipher_of(row: File | Batch) -> Cipher:
    """Returns the cipher of a row's key. Raises Unreadable once its person has been erased."""
    return keyring.by_id_now(row.data_key_id)


def name_of(file: File) -> str:
    """Raises Unreadable."""
    return cipher_of(file).decrypt(bytes(file.name_ciphertext), name_aad(file)).decode()


def known_name(file: File) -> str:
    """Returns the name; "" if it cannot be read any more."""
    try:
        return name_of(file)
    except Unreadable:
        return ""


def known_metadata(batch: Batch) -> dict[str, str] | None:
    """Returns the metadata; None without any, or if they cannot be read any more."""
    try:
        return metadata_of(batch)
    except Unreadable:
        return None


def metadata_of(batch: Batch) -> dict[str, str] | None:
    """Raises Unreadable."""
    if batch.metadata_ciphertext is None:
        return None
    clear = cipher_of(batch).decrypt(bytes(batch.metadata_ciphertext), metadata_aad(batch))
    metadata: dict[str, str] = orjson.loads(clear)
    return metadata
