"""Merkle trees of RFC 6962: a root over leaves, and short proofs about it (SHA-256).

Leaves and inner nodes are hashed with different prefixes, so that no node can pass for a leaf.
Proofs are lists of 32-byte hashes, from the leaf's neighbour up.
"""

from collections.abc import Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()
SIZE = 32  # bytes of a hash
_NODE = sha256(b"\x01")  # copied, it begins a node's hash faster than a new one does


def leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


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
    """Returns the neighbours on the path to the root. Raises IndexError if there is no such
    leaf."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    level, proof = list(leaves), []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        level, index = _next_level(level), index // 2
    return proof


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes
) -> bool:
    """Returns True if the tree of `size` leaves with root `expected` has this leaf at `index`."""
    if not 0 <= index < size:
        return False
    position, last, computed = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            return False
        if position % 2 or position == last:
            computed = node(sibling, computed)
            position, last = _up_to_a_right_child(position, last)
        else:
            computed = node(computed, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and computed == expected


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> list[bytes]:
    """Proves that the tree of the first `earlier` leaves is a prefix of this one.

    Raises IndexError if `earlier` is not between 1 and the number of leaves.
    """
    if not 0 < earlier <= len(leaves):
        raise IndexError(earlier)
    return _consistency(leaves, earlier, known=True)


def _consistency(leaves: Sequence[bytes], earlier: int, *, known: bool) -> list[bytes]:
    """Returns a part of the proof; `known` if the verifier already has the root of these very
    leaves.
    """
    size = len(leaves)
    if earlier == size:
        return [] if known else [root(leaves)]
    split = 1 << (size - 1).bit_length() - 1
    if earlier <= split:
        lower = _consistency(leaves[:split], earlier, known=known)
        return [*lower, root(leaves[split:])]
    upper = _consistency(leaves[split:], earlier - split, known=False)
    return [*upper, root(leaves[:split])]


def verify_consistency(
    earlier: int, size: int, earlier_root: bytes, later_root: bytes, proof: Sequence[bytes]
) -> bool:
    if not 0 < earlier <= size:
        return False
    if earlier == size:
        return not proof and earlier_root == later_root
    hashes = [earlier_root, *proof] if earlier & (earlier - 1) == 0 else list(proof)
    position, last = earlier - 1, size - 1
    while position % 2:
        position, last = position >> 1, last >> 1
    return bool(hashes) and _roots_from_proof(position, last, hashes) == (earlier_root, later_root)


def _roots_from_proof(position: int, last: int, hashes: list[bytes]) -> tuple[bytes, bytes] | None:
    """Returns the old and new root that the hashes lead to, or None if there are too many or too
    few.
    """
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return None
        if position % 2 or position == last:
            old, new = node(sibling, old), node(sibling, new)
            position, last = _up_to_a_right_child(position, last)
        else:
            new = node(new, sibling)
        position, last = position >> 1, last >> 1
    return (old, new) if last == 0 else None


def _up_to_a_right_child(position: int, last: int) -> tuple[int, int]:
    while position and not position % 2:
        position, last = position >> 1, last >> 1
    return position, last
