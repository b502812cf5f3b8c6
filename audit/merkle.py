"""Merkle trees of RFC 6962: a root over leaves, and proofs that a leaf is in it (SHA-256).

Leaves and inner nodes are hashed with different prefixes, so that no node can pass for a leaf.
A proof is a list of 32-byte hashes, from the leaf's neighbour up.
"""

from collections.abc import Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()
SIZE = 32  # bytes of a hash
_NODE = sha256(b"\x01")  # copied, it begins a node's hash faster than a new one does


def leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    level = list(leaves)
    while len(level) > 1:
        level = _next_level(level)
    return level[0] if level else EMPTY


def root_of_packed(leaves: bytes) -> bytes:
    """Returns the root over concatenated leaf hashes, or b"" if the last one is cut off."""
    if len(leaves) % SIZE:
        return b""
    level = leaves
    while len(level) > SIZE:
        level = _next_packed_level(level)
    return level or EMPTY


def unpacked(leaves: bytes) -> list[bytes]:
    return [leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE)]


def _next_packed_level(level: bytes) -> bytes:
    pairs = len(level) // (2 * SIZE) * 2 * SIZE
    above = []
    for at in range(0, pairs, 2 * SIZE):
        parent = _NODE.copy()
        parent.update(level[at : at + 2 * SIZE])
        above.append(parent.digest())
    return b"".join(above) + level[pairs:]


def _next_level(level: list[bytes]) -> list[bytes]:
    """Returns the next level. A hash without a partner moves up unchanged."""
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [sha256(b"\x01" + first + second).digest() for first, second in pairs]
    if len(level) % 2:
        above.append(level[-1])
    return above


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Returns the neighbours on the path to the root. Raises IndexError without such a leaf."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    level, proof = list(leaves), []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        level, index = _next_level(level), index // 2
    return proof
