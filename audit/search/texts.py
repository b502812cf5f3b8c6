"""Decrypts the texts of requests and answers.

The apps that write payloads know their form; each registers a reader for its fields.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from audit.keys.keyring import Unreadable, keyring
from audit.models import Payload


class DecryptedText(NamedTuple):
    text: str
    client_ip: str = ""  # the full address; the trail itself has its network only


Reader = Callable[[bytes], DecryptedText]
# Returns field, time and text of what else belongs to a request of a tenant; None: erased.
Addition = Callable[[UUID, UUID], Iterable[tuple[str, datetime, DecryptedText | None]]]
_readers: dict[str, Reader] = {}
additions: list[Addition] = []  # registered by the apps, as readers are


def register_reader(field: str, reader: Reader) -> None:
    _readers[field] = reader


def aad(tenant_id: UUID, request_id: UUID, field: str) -> bytes:
    """Returns the additional data that a payload's ciphertext is bound to."""
    return b"audit_payload|%b|%b|%b" % (tenant_id.bytes, request_id.bytes, field.encode())


def decrypted(payload: Payload) -> DecryptedText | None:
    """Returns the text, or None if its key was destroyed or it was not encrypted here."""
    bound_to = aad(payload.tenant_id, payload.request_id, payload.field)
    try:
        clear = keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), bound_to)
    except Unreadable:
        return None
    return read(payload.field, clear)


def read(field: str, clear: bytes) -> DecryptedText:
    reader = _readers.get(field)
    return reader(clear) if reader else DecryptedText(clear.decode(errors="replace"))
