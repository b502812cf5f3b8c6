"""Trees as RFC 6962 has them: every proof of what is true holds, none of what is not."""

import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import merkle
from audit.offline import forebay_verify

pytestmark = pytest.mark.unit
LEAVES = [merkle.leaf(b"%d" % n) for n in range(2048)]
# The roots of the first n of these leaves are well known (certificate transparency's tests).
KNOWN = [bytes.fromhex(t) for t in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
KNOWN_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def by_the_book(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    inside = by_the_book(leaves[:split]) + by_the_book(leaves[split:])
    return sha256(b"\x01" + inside).digest()


@pytest.mark.parametrize(("size", "root"), KNOWN_ROOTS.items())
def test_roots_are_those_that_everybody_has(size: int, root: str) -> None:
    assert merkle.root([merkle.leaf(data) for data in KNOWN[:size]]).hex() == root


@given(st.integers(0, 2048))
def test_a_root_is_what_the_standard_says(size: int) -> None:
    assert merkle.root(LEAVES[:size]) == by_the_book(LEAVES[:size])


def sizes() -> list[int]:
    drawn = random.Random(6962).sample(range(131, 2049), 12)
    return [*range(1, 131), 255, 256, 257, 1023, 1024, 1025, 2047, 2048, *drawn]


@given(st.integers(0, 2048))
def test_packed_leaves_have_the_same_root(size: int) -> None:
    packed = b"".join(LEAVES[:size])
    assert merkle.root_of_packed(packed) == merkle.root(LEAVES[:size])
    assert merkle.root_of_packed(packed + b"\0") == b""


def test_every_leaf_of_every_tree_has_a_proof() -> None:
    for size in sizes():
        leaves = LEAVES[:size]
        root = merkle.root(leaves)
        indices = range(size) if size <= 130 else random.Random(size).sample(range(size), 40)
        for index in indices:
            proof = merkle.inclusion_proof(leaves, index)
            assert len(proof) <= 11
            assert forebay_verify.is_in(leaves[index], index, size, proof, root)


@given(st.data())
def test_no_proof_holds_for_anything_else(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 300))
    index = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:size]
    root, proof = merkle.root(leaves), merkle.inclusion_proof(leaves, index)
    other = data.draw(st.integers(0, size - 1).filter(lambda other: other != index))
    assert not forebay_verify.is_in(leaves[other], index, size, proof, root)
    assert not forebay_verify.is_in(leaves[index], other, size, proof, root)
    assert not forebay_verify.is_in(leaves[index], index, size, proof[:-1], root)
    assert not forebay_verify.is_in(leaves[index], index, size, [*proof, LEAVES[0]], root)
    place = data.draw(st.integers(0, len(proof) - 1))
    bent = [*proof[:place], flipped(proof[place], data), *proof[place + 1 :]]
    assert not forebay_verify.is_in(leaves[index], index, size, bent, root)
    assert not forebay_verify.is_in(leaves[index], index, size, proof, flipped(root, data))


def test_there_is_no_proof_of_a_leaf_that_is_not_there() -> None:
    for index in (-1, 5):
        with pytest.raises(IndexError):
            merkle.inclusion_proof(LEAVES[:5], index)
        assert not forebay_verify.is_in(LEAVES[0], index, 5, [], merkle.root(LEAVES[:5]))


def flipped(hash_: bytes, data: st.DataObject) -> bytes:
    bit = data.draw(st.integers(0, 255))
    changed = bytearray(hash_)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
