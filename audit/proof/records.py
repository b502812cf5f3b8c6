"""Seals and checkpoints in the form of exports and receipts (docs/audit.md)."""

import base64
from typing import Any

from audit.models import Checkpoint, Seal
from audit.trail.canonical import microseconds


def checkpoint_record(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "type": "checkpoint",
        "n": checkpoint.n,
        "size": checkpoint.size,
        "root": bytes(checkpoint.root).hex(),
        "previous": bytes(checkpoint.previous).hex(),
        "at_us": microseconds(checkpoint.at),
        "key_id": checkpoint.key_id,
        "signature": base64.b64encode(checkpoint.signature).decode(),
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
