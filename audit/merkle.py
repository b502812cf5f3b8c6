"""Merkle trees as RFC 6962 has them: a root over leaves, and short proofs about it (SHA-256).

A leaf and an inner node are hashed apart, so that no node can pass for a leaf. Proofs are lists of
32-byte hashes, from the leaf's neighbour up.
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
        level = _above(level)
    return level[0] if level else EMPTY


def root_of_packed(leaves: bytes) -> bytes:
    """The root over leaves that stand one after the other; b"" where the last one is cut off."""
    if len(leaves) % SIZE:
        return b""
    level = leaves
    while len(level) > SIZE:
        level = _packed_above(level)
    return level or EMPTY


def _packed_above(level: bytes) -> bytes:
    pairs = len(level) // (2 * SIZE) * 2 * SIZE
    above = []
    for at in range(0, pairs, 2 * SIZE):
        parent = _NODE.copy()
        parent.update(level[at : at + 2 * SIZE])
        above.append(parent.digest())
    return b"".join(above) + level[pairs:]


def _above(level: list[bytes]) -> list[bytes]:
    """The next level. One that is alone at the end goes up as it is."""
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    if len(level) % 2:
        above.append(level[-1])
    return above


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Raises IndexError where there is no such leaf."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    level, proof = list(leaves), []
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            proof.append(level[beside])
        level, index = _above(level), index // 2
    return proof


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes
) -> bool:
    """Whether the tree of `size` leaves with root `expected` has this leaf at `index`."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf_hash
    for beside in proof:
        if last == 0:
            return False
        if place % 2 or place == last:
            found = node(beside, found)
            place, last = _up_to_a_right_child(place, last)
        else:
            found = node(found, beside)
        place, last = place >> 1, last >> 1
    return last == 0 and found == expected


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> list[bytes]:
    """That the tree of the first `earlier` leaves is a beginning of this one."""
    if not 0 < earlier <= len(leaves):
        raise IndexError(earlier)
    return _consistency(leaves, earlier, known=True)


def _consistency(leaves: Sequence[bytes], earlier: int, *, known: bool) -> list[bytes]:
    """`known`: the verifier has the root of these very leaves already."""
    size = len(leaves)
    if earlier == size:
        return [] if known else [root(leaves)]
    split = 1 << (size - 1).bit_length() - 1
    if earlier <= split:
        left = _consistency(leaves[:split], earlier, known=known)
        return [*left, root(leaves[split:])]
    right = _consistency(leaves[split:], earlier - split, known=False)
    return [*right, root(leaves[:split])]


def verify_consistency(
    earlier: int, size: int, earlier_root: bytes, later_root: bytes, proof: Sequence[bytes]
) -> bool:
    if not 0 < earlier <= size:
        return False
    if earlier == size:
        return not proof and earlier_root == later_root
    hashes = [earlier_root, *proof] if earlier & (earlier - 1) == 0 else list(proof)
    place, last = earlier - 1, size - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    return bool(hashes) and _climbed(place, last, hashes) == (earlier_root, later_root)


def _climbed(place: int, last: int, hashes: list[bytes]) -> tuple[bytes, bytes] | None:
    """The two roots that the hashes lead to; None when there are too many or too few."""
    old = new = hashes[0]
    for beside in hashes[1:]:
        if last == 0:
            return None
        if place % 2 or place == last:
            old, new = node(beside, old), node(beside, new)
            place, last = _up_to_a_right_child(place, last)
        else:
            new = node(new, beside)
        place, last = place >> 1, last >> 1
    return (old, new) if last == 0 else None


def _up_to_a_right_child(place: int, last: int) -> tuple[int, int]:
    while place and not place % 2:
        place, last = place >> 1, last >> 1
    return place, last
