"""Requests as the record keeps them, sealed."""

from uuid import UUID

from audit.keys.keyring import Unreadable
from audit.models import Payload


def sealed_request(request_id: UUID) -> bytes:
    """Key id and ciphertext, as `ledger.sealed_order` made them. Raises Unreadable when erased."""
    payload = Payload.objects.filter(request_id=request_id, field="request").first()
    if payload is None:
        raise Unreadable(f"request {request_id} is not on record")
    return payload.data_key_id.bytes + bytes(payload.sealed)
