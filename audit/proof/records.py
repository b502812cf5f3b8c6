"""Seals and checkpoints as exports and receipts write them (docs/audit.md)."""

import base64
from typing import Any

from audit.models import Checkpoint, Seal
from audit.trail.canonical import microseconds


def checkpoint_record(found: Checkpoint) -> dict[str, Any]:
    return {
        "type": "checkpoint",
        "n": found.n,
        "size": found.size,
        "root": bytes(found.root).hex(),
        "previous": bytes(found.previous).hex(),
        "at_us": microseconds(found.at),
        "key_id": found.key_id,
        "signature": base64.b64encode(found.signature).decode(),
    }


def seal_record(seal: Seal) -> dict[str, Any]:
    return {
        "type": "seal",
        "tenant_id": str(seal.tenant_id),
        "batch": seal.batch,
        "first_seq": seal.first_seq,
        "size": seal.size,
        "root": bytes(seal.root).hex(),
        "previous": bytes(seal.previous).hex(),
        "sealed_at_us": microseconds(seal.sealed_at),
        "first_at_us": microseconds(seal.first_at),
        "last_at_us": microseconds(seal.last_at),
        **({} if seal.retention_days is None else {"retention_days": seal.retention_days}),
        "checkpoint": seal.checkpoint,
        "position": seal.position,
    }
