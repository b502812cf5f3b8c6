"""A key as text: a typo is told from a wrong key, and nothing shows the text."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from tenants import secret_keys

pytestmark = pytest.mark.unit
keys = st.builds(secret_keys.mint)
characters = st.characters() | st.sampled_from(string.ascii_letters + string.digits + "-_ \n")


def refused(mutated: str, key: secret_keys.SecretKey) -> None:
    assert mutated == key.text or not secret_keys.well_formed(mutated)


@given(keys)
def test_a_minted_key_is_well_formed(key: secret_keys.SecretKey) -> None:
    assert secret_keys.well_formed(key.text)
    assert re.fullmatch(r"sk-fb-[A-Za-z0-9]{12}-[A-Za-z0-9]{43}-[A-Za-z0-9]{6}", key.text)
    assert key.text.startswith(f"sk-fb-{key.public_id}-")
    assert len(key.digest) == 32


def test_no_two_keys_are_alike() -> None:
    minted = [secret_keys.mint() for _ in range(300)]
    assert len({key.text for key in minted}) == 300
    assert len({key.public_id for key in minted}) == 300
    assert len({key.digest for key in minted}) == 300


@given(keys, st.data())
def test_one_changed_character_is_a_typo(key: secret_keys.SecretKey, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(key.text) - 1))
    refused(key.text[:at] + data.draw(characters) + key.text[at + 1 :], key)


@given(keys, st.data())
def test_a_cut_key_is_a_typo(key: secret_keys.SecretKey, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(key.text)))
    end = data.draw(st.integers(start, len(key.text)))
    refused(key.text[start:end], key)
    refused(key.text[:start] + key.text[end:], key)


@given(keys, st.data())
def test_swapped_characters_are_a_typo(key: secret_keys.SecretKey, data: st.DataObject) -> None:
    a, b = (data.draw(st.integers(0, len(key.text) - 1)) for _ in range(2))
    letters = list(key.text)
    letters[a], letters[b] = letters[b], letters[a]
    refused("".join(letters), key)


@given(keys, characters, st.data())
def test_an_added_character_is_a_typo(
    key: secret_keys.SecretKey, more: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(key.text)))
    refused(key.text[:at] + more + key.text[at:], key)


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    assert not secret_keys.well_formed(text)
    assert not secret_keys.well_formed(secret_keys.PREFIX + text)


def test_case_and_decoration_matter() -> None:
    text = secret_keys.mint().text
    for changed in (text.upper(), text.lower(), text.swapcase(), f"Bearer {text}", f" {text}"):
        assert not secret_keys.well_formed(changed)


@given(keys, keys)
def test_parts_of_two_keys_are_no_key(
    one: secret_keys.SecretKey, two: secret_keys.SecretKey
) -> None:
    for at in (18, 62):
        refused(one.text[:at] + two.text[at:], one)


@given(keys)
def test_nothing_shows_the_text(key: secret_keys.SecretKey) -> None:
    secret = key.text[len(secret_keys.PREFIX) + 13 :]
    for shown in (repr(key), str(key), f"{key}", repr([key]), repr(key.digest)):
        assert secret not in shown
        assert key.text not in shown


@given(keys)
def test_the_digest_hangs_from_the_pepper(key: secret_keys.SecretKey) -> None:
    with_ours = key.digest
    changed = Settings(_is_pytest_django=True)
    try:
        changed.API_KEY_PEPPER = b"another pepper of 32 bytes......"
        assert key.digest != with_ours
    finally:
        changed._finalize()
    assert key.digest == with_ours
