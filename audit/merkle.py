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
    """Returns the root over leaf hashes, or b"" if one of them is none."""
    return root_of_packed(b"".join(leaves)) if all(len(leaf) == SIZE for leaf in leaves) else b""


def root_of_packed(leaves: bytes) -> bytes:
    """Returns the root over concatenated leaf hashes, or b"" if the last one is cut off."""
    if len(leaves) % SIZE:
        return b""
    level = leaves
    while len(level) > SIZE:
        level = _next_level(level)
    return level or EMPTY


def unpacked(leaves: bytes) -> list[bytes]:
    return [leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE)]


def _next_level(level: bytes) -> bytes:
    """Returns the next level. A hash without a partner moves up unchanged."""
    pairs = len(level) // (2 * SIZE) * 2 * SIZE
    above = []
    for at in range(0, pairs, 2 * SIZE):
        parent = _NODE.copy()
        parent.update(level[at : at + 2 * SIZE])
        above.append(parent.digest())
    return b"".join(above) + level[pairs:]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Returns the neighbours on the path to the root. Raises IndexError without such a leaf."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    level, proof = b"".join(leaves), []
    while len(level) > SIZE:
        sibling = (index ^ 1) * SIZE
        if sibling < len(level):
            proof.append(level[sibling : sibling + SIZE])
        level, index = _next_level(level), index // 2
    return proof
