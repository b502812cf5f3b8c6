"""Seals and checkpoints: their hashes, how each is chained to the one before, and their records."""

import base64
from hashlib import sha256
from typing import Any, NamedTuple, Self
from uuid import UUID

from audit.platform import PLATFORM
from audit.trail.canonical import microseconds

ZERO = bytes(32)  # `previous` of the first
CHECKPOINT = "checkpoint"  # the purpose of its signature
_HEAD = b"forebay-checkpoint/1\n"
_SEAL = b"forebay-seal/3\n"
_SEAL_WITHOUT_RETENTION = b"forebay-seal/2\n"  # of earlier versions


def seal_hash(
    tenant_id: UUID | None,
    batch: int,
    first_seq: int,
    size: int,
    first_at_us: int,
    last_at_us: int,
    root: bytes,
    previous: bytes,
    sealed_at_us: int,
    retention_days: int | None,
) -> bytes:
    """Returns a seal's hash.

    `previous` is the hash of the tenant's batch before; the times are those of its events;
    `retention_days` is the tenant's retention when it was sealed.
    """
    form, retention = _SEAL_WITHOUT_RETENTION, b""
    if retention_days is not None:
        form, retention = _SEAL, retention_days.to_bytes(4)
    return sha256(
        form
        + (tenant_id or PLATFORM).bytes
        + batch.to_bytes(8)
        + first_seq.to_bytes(8)
        + size.to_bytes(4)
        + first_at_us.to_bytes(8, signed=True)
        + last_at_us.to_bytes(8, signed=True)
        + root
        + previous
        + sealed_at_us.to_bytes(8, signed=True)
        + retention
    ).digest()


def computed_hash(seal: Any) -> bytes:
    """Returns the hash of the facts of a seal's row, whatever its own column says."""
    return seal_hash(
        seal.tenant_id,
        seal.batch,
        seal.first_seq,
        seal.size,
        microseconds(seal.first_at),
        microseconds(seal.last_at),
        bytes(seal.root),
        bytes(seal.previous),
        microseconds(seal.sealed_at),
        seal.retention_days,
    )


class CheckpointFacts(NamedTuple):
    """A checkpoint's signed facts. `size`: events sealed so far; `root`: over the round's seals."""

    n: int
    size: int
    root: bytes
    previous: bytes
    at_us: int

    @classmethod
    def of(cls, row: Any) -> Self:
        root, previous = bytes(row.root), bytes(row.previous)
        return cls(row.n, row.size, root, previous, microseconds(row.at))

    @property
    def text(self) -> bytes:
        """The signed text, without its first line (audit/keys/signing.py adds it)."""
        previous = self.previous.hex()
        return f"{self.n}\n{self.size}\n{self.root.hex()}\n{previous}\n{self.at_us}\n".encode()

    @property
    def digest(self) -> bytes:
        """The hash that the next checkpoint has as `previous`."""
        return sha256(_HEAD + self.text).digest()


# Records: the form of exports, receipts and witnesses (docs/audit.md) ----------------------------
def checkpoint_record(checkpoint: Any) -> dict[str, Any]:
    return {"type": "checkpoint", **checkpoint_fields(checkpoint)}


def checkpoint_fields(checkpoint: Any) -> dict[str, Any]:
    return {
        "n": checkpoint.n,
        "size": checkpoint.size,
        "root": bytes(checkpoint.root).hex(),
        "previous": bytes(checkpoint.previous).hex(),
        "at_us": microseconds(checkpoint.at),
        "key_id": checkpoint.key_id,
        "signature": base64.b64encode(checkpoint.signature).decode(),
    }


def seal_record(seal: Any) -> dict[str, Any]:
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
