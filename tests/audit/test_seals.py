"""A sealed text opens only with its own key, in its own place, unchanged."""

from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from audit.keys.keyring import Sealer, Unreadable

pytestmark = pytest.mark.unit
texts, places = st.binary(max_size=300), st.binary(max_size=60)


def sealer(key_id: UUID | None = None) -> Sealer:
    return Sealer(key_id or uuid4(), AESGCM(AESGCM.generate_key(256)))


ACME = sealer()


@given(texts, places)
def test_what_was_sealed_here_opens_here(text: bytes, place: bytes) -> None:
    sealed = ACME.seal(text, place)
    assert ACME.open(sealed, place) == text
    assert len(text) < 4 or text not in sealed


@given(texts, places)
def test_the_same_text_is_never_sealed_the_same_way(text: bytes, place: bytes) -> None:
    assert ACME.seal(text, place) != ACME.seal(text, place)


@given(texts, places, st.data())
def test_one_flipped_bit_closes_it(text: bytes, place: bytes, data: st.DataObject) -> None:
    sealed = bytearray(ACME.seal(text, place))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unreadable):
        ACME.open(bytes(sealed), place)


@given(texts, places, st.data())
def test_one_cut_short_or_lengthened_stays_closed(
    text: bytes, place: bytes, data: st.DataObject
) -> None:
    sealed = ACME.seal(text, place)
    cut = data.draw(st.integers(0, len(sealed) - 1))
    more = data.draw(st.binary(min_size=1, max_size=20))
    for changed in (sealed[:cut], sealed[cut + 1 :], sealed + more, more + sealed):
        with pytest.raises(Unreadable):
            ACME.open(changed, place)


@given(texts, places, places)
def test_it_does_not_open_in_another_place(text: bytes, place: bytes, elsewhere: bytes) -> None:
    if place == elsewhere:
        return
    with pytest.raises(Unreadable):
        ACME.open(ACME.seal(text, place), elsewhere)


@given(texts, places)
def test_it_does_not_open_with_another_key(text: bytes, place: bytes) -> None:
    sealed = ACME.seal(text, place)
    same_id, same_key = sealer(ACME.key_id), Sealer(uuid4(), ACME.cipher)
    for other in (sealer(), same_id, same_key):
        with pytest.raises(Unreadable):
            other.open(sealed, place)
