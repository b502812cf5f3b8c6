"""A encrypted text opens only with its own key, in its own place, unchanged."""

from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from audit.keys.keyring import Cipher, Unreadable

pytestmark = pytest.mark.unit
texts, places = st.binary(max_size=300), st.binary(max_size=60)


def sealer(key_id: UUID | None = None) -> Cipher:
    return Cipher(key_id or uuid4(), AESGCM(AESGCM.generate_key(256)))


ACME = sealer()


@given(texts, places)
def test_what_was_encrypted_here_opens_here(text: bytes, place: bytes) -> None:
    ciphertext = ACME.encrypt(text, place)
    assert ACME.decrypt(ciphertext, place) == text
    assert len(text) < 4 or text not in ciphertext


@given(texts, places)
def test_the_same_text_is_never_encrypted_the_same_way(text: bytes, place: bytes) -> None:
    assert ACME.encrypt(text, place) != ACME.encrypt(text, place)


@given(texts, places, st.data())
def test_one_flipped_bit_closes_it(text: bytes, place: bytes, data: st.DataObject) -> None:
    ciphertext = bytearray(ACME.encrypt(text, place))
    bit = data.draw(st.integers(0, len(ciphertext) * 8 - 1))
    ciphertext[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unreadable):
        ACME.decrypt(bytes(ciphertext), place)


@given(texts, places, st.data())
def test_one_cut_short_or_lengthened_stays_closed(
    text: bytes, place: bytes, data: st.DataObject
) -> None:
    ciphertext = ACME.encrypt(text, place)
    cut = data.draw(st.integers(0, len(ciphertext) - 1))
    more = data.draw(st.binary(min_size=1, max_size=20))
    for changed in (ciphertext[:cut], ciphertext[cut + 1 :], ciphertext + more, more + ciphertext):
        with pytest.raises(Unreadable):
            ACME.decrypt(changed, place)


@given(texts, places, places)
def test_it_does_not_open_in_another_place(text: bytes, place: bytes, elsewhere: bytes) -> None:
    if place == elsewhere:
        return
    with pytest.raises(Unreadable):
        ACME.decrypt(ACME.encrypt(text, place), elsewhere)


@given(texts, places)
def test_it_does_not_open_with_another_key(text: bytes, place: bytes) -> None:
    ciphertext = ACME.encrypt(text, place)
    same_id, same_key = sealer(ACME.key_id), Cipher(uuid4(), ACME.aesgcm)
    for other in (sealer(), same_id, same_key):
        with pytest.raises(Unreadable):
            other.decrypt(ciphertext, place)
