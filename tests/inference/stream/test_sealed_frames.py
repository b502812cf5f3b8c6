"""Batches of frames open only where they were put, and only unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.stream import frames
from inference.stream.frames import Frame, Kind
from tests.inference.orders import a_frame

pytestmark = pytest.mark.unit
any_frame = st.builds(
    Frame,
    id=st.binary(min_size=16, max_size=16),
    attempt=st.integers(1, 5),
    last=st.integers(0, 10_000),
    kind=st.sampled_from(Kind).map(int),
    body=st.binary(max_size=200),
    status=st.integers(200, 599),
    retry_after=st.integers(0, 60),
    upstream=st.text(max_size=20),
)
batches = st.lists(any_frame, max_size=5)
AAD = b"ret:web-1"


@given(batches)
def test_a_batch_comes_out_as_it_went_in(batch: list[Frame]) -> None:
    ciphertext = frames.encrypted(batch, AAD)
    assert frames.decrypted(ciphertext, AAD) == batch


def test_nothing_of_the_text_is_seen() -> None:
    assert b"data: 1" not in frames.encrypted([a_frame(1, 3)], AAD)


@given(batches, st.data())
def test_a_changed_batch_gives_no_frames(batch: list[Frame], data: st.DataObject) -> None:
    ciphertext = bytearray(frames.encrypted(batch, AAD))
    bit = data.draw(st.integers(0, len(ciphertext) * 8 - 1))
    ciphertext[bit // 8] ^= 1 << bit % 8
    assert frames.decrypted(bytes(ciphertext), AAD) == []


@given(batches, st.data())
def test_a_cut_batch_gives_no_frames(batch: list[Frame], data: st.DataObject) -> None:
    ciphertext = frames.encrypted(batch, AAD)
    assert frames.decrypted(ciphertext[: data.draw(st.integers(0, len(ciphertext) - 1))], AAD) == []


@given(batches, st.binary(max_size=30))
def test_a_batch_of_another_stream_gives_no_frames(batch: list[Frame], elsewhere: bytes) -> None:
    if elsewhere != AAD:
        assert frames.decrypted(frames.encrypted(batch, AAD), elsewhere) == []


@given(st.binary(max_size=200))
def test_rubbish_gives_no_frames(data: bytes) -> None:
    assert frames.decrypted(data, AAD) == []


def test_only_events_are_not_final() -> None:
    assert [Frame(b"", 1, 1, kind, b"").final for kind in Kind] == [False, True, True, True]


def test_streams_have_names_of_their_own() -> None:
    assert frames.channel("web-1") == "ret:web-1"
    assert frames.history(bytes(range(16))) == "gen:000102030405060708090a0b0c0d0e0f"
