"""Requests as the record keeps them, encrypted."""

import logging
from uuid import UUID

import msgspec

from audit.keys.keyring import Unreadable, keyring
from audit.models import Payload
from inference.order import Order, unpacked
from inference.record import statements

log = logging.getLogger(__name__)


def encrypted_request(request_id: UUID) -> bytes:
    """Key id and ciphertext (`statements.encrypted_order`). Raises Unreadable when erased."""
    payload = Payload.objects.filter(request_id=request_id, field="request").first()
    if payload is None:
        raise Unreadable(f"request {request_id} is not on record")
    return payload.data_key_id.bytes + bytes(payload.ciphertext)


def on_record(completion_id: UUID) -> tuple[bytes, Order] | None:
    """The request as it was received; None when its text has been erased."""
    payload = Payload.objects.filter(request_id=completion_id, field="request").first()
    if payload is None:
        return None
    aad = statements.request_aad(payload.tenant_id.bytes, completion_id.bytes)
    try:
        text = keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), aad)
        return payload.data_key_id.bytes + bytes(payload.ciphertext), unpacked(text)
    except (Unreadable, msgspec.DecodeError) as problem:
        log.error("cannot read request %s: %s", completion_id, problem)
        return None
