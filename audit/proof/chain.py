"""Hashes of seals and checkpoints, and how each is chained to the one before."""

from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from audit.platform import PLATFORM

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


class CheckpointFacts(NamedTuple):
    """A checkpoint's signed facts. `size`: events sealed so far; `root`: over the round's seals."""

    n: int
    size: int
    root: bytes
    previous: bytes
    at_us: int

    @property
    def text(self) -> bytes:
        """The signed text, without its first line (audit/keys/signing.py adds it)."""
        previous = self.previous.hex()
        return f"{self.n}\n{self.size}\n{self.root.hex()}\n{previous}\n{self.at_us}\n".encode()

    @property
    def digest(self) -> bytes:
        """The hash that the next checkpoint has as `previous`."""
        return sha256(_HEAD + self.text).digest()
