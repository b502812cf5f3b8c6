"""Sealed texts, opened: what somebody asked and what was answered.

What a payload holds is known to who writes it; it registers a reader for each field.
"""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from audit.keys.keyring import Unreadable, keyring
from audit.models import Payload


class Read(NamedTuple):
    text: str
    client_ip: str = ""  # the full one: the trail itself has its network only


Reader = Callable[[bytes], Read]
_readers: dict[str, Reader] = {}


def register_reader(field: str, reader: Reader) -> None:
    _readers[field] = reader


def aad(tenant_id: UUID, request_id: UUID, field: str) -> bytes:
    """What a payload's ciphertext is bound to."""
    return b"audit_payload|%b|%b|%b" % (tenant_id.bytes, request_id.bytes, field.encode())


def opened(payload: Payload) -> Read | None:
    """None where the key has been destroyed, or it is not what was encrypted here."""
    where = aad(payload.tenant_id, payload.request_id, payload.field)
    try:
        clear = keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), where)
    except Unreadable:
        return None
    return read(payload.field, clear)


def read(field: str, clear: bytes) -> Read:
    reader = _readers.get(field)
    return reader(clear) if reader else Read(clear.decode(errors="replace"))
