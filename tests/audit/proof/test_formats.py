"""What a seal and a checkpoint are the hash of: trails of years ago must verify."""

from hashlib import sha256
from uuid import UUID

import pytest

from audit.platform import PLATFORM
from audit.proof.chain import CheckpointFacts, seal_hash

pytestmark = pytest.mark.unit
TENANT = UUID(int=7)
ROOT, BEFORE = b"r" * 32, b"p" * 32


def of_seal(tenant: UUID, form: bytes, retention: bytes) -> bytes:
    """As docs/audit.md has it, written down once more."""
    numbers = (3).to_bytes(8) + (40).to_bytes(8) + (5).to_bytes(4)
    times = (1_000_001).to_bytes(8) + (2_000_002).to_bytes(8)
    sealed = (3_000_003).to_bytes(8)
    whole = form + tenant.bytes + numbers + times + ROOT + BEFORE + sealed + retention
    return sha256(whole).digest()


@pytest.mark.parametrize(
    ("days", "form", "retention"),
    [(200, b"forebay-seal/3\n", (200).to_bytes(4)), (None, b"forebay-seal/2\n", b"")],
)
@pytest.mark.parametrize(("tenant", "stands_for"), [(TENANT, TENANT), (None, PLATFORM)])
def test_a_seals_hash_is_of_every_fact_in_it(
    tenant: UUID | None, stands_for: UUID, days: int | None, form: bytes, retention: bytes
) -> None:
    facts = (tenant, 3, 40, 5, 1_000_001, 2_000_002, ROOT, BEFORE, 3_000_003, days)
    assert seal_hash(*facts) == of_seal(stands_for, form, retention)


def test_a_checkpoints_text_and_digest() -> None:
    signed = CheckpointFacts(9, 120, ROOT, BEFORE, 4_000_004)
    text = f"9\n120\n{ROOT.hex()}\n{BEFORE.hex()}\n4000004\n".encode()
    assert signed.text == text
    assert signed.digest == sha256(b"forebay-checkpoint/1\n" + text).digest()
