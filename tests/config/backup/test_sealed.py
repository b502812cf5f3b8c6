"""What is stored opens with its key, under its name, and only whole."""

import io
import tarfile

import pyrage
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from config.backup.storage import sealed
from config.backup.storage.backup_key import BackupKey

pytestmark = pytest.mark.unit
KEY = BackupKey.create()


@given(st.binary(max_size=5000), st.integers(0, 3))
def test_what_was_sealed_opens_again(content: bytes, megabytes: int) -> None:
    whole = content * 10 + bytes(megabytes << 20) + content
    assert sealed.opened("a/b", sealed.sealed("a/b", whole, KEY), KEY) == whole


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_any_other_byte_is_noticed(where: float, bits: int) -> None:
    blob = bytearray(sealed.sealed("a/b", b"the log" * 100, KEY))
    blob[int(where * len(blob))] ^= bits
    with pytest.raises(sealed.Unreadable):
        sealed.opened("a/b", bytes(blob), KEY)


@given(st.integers(0, 100))
def test_a_part_is_noticed(percent: int) -> None:
    blob = sealed.sealed("a/b", bytes(range(256)) * 1000, KEY)
    with pytest.raises(sealed.Unreadable):
        sealed.opened("a/b", blob[: len(blob) * percent // 101], KEY)


def test_nothing_opens_with_another_key() -> None:
    blob = sealed.sealed("a/b", b"secret", KEY)
    assert b"secret" not in blob
    with pytest.raises(sealed.Unreadable, match="does not open with this key"):
        sealed.opened("a/b", blob, BackupKey.create())


def test_nothing_opens_under_anothers_name() -> None:
    """Somebody who may write to the place exchanges two segments of the log."""
    blob = sealed.sealed("1/wal/000000010000000000000002", b"log", KEY)
    with pytest.raises(sealed.Unreadable, match="not signed with this key under this name"):
        sealed.opened("1/wal/000000010000000000000003", blob, KEY)


def test_who_knows_the_public_key_alone_can_forge_nothing() -> None:
    forged = pyrage.encrypt(zstandard.compress(b"x" * 200), [KEY.identity.to_public()])
    with pytest.raises(sealed.Unreadable):
        sealed.opened("a/b", forged, KEY)


def test_age_and_zstd_open_it_without_us() -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("PG_VERSION"))
    blob = sealed.sealed("a/b", archive.getvalue(), KEY)
    frames = pyrage.decrypt(blob, [pyrage.x25519.Identity.from_str(KEY.text.splitlines()[1])])
    plain = zstandard.ZstdDecompressor().stream_reader(frames, read_across_frames=True).read()
    assert plain == archive.getvalue()


@pytest.mark.parametrize(
    "text", ["", "AGE-SECRET-KEY-1", "# only a comment\n", KEY.text * 2, "\x00", "ssh-ed25519 AAAA"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        BackupKey.from_text(text)


def test_a_key_survives_its_file() -> None:
    again = BackupKey.from_text(KEY.text)
    assert sealed.opened("n", sealed.sealed("n", b"x", KEY), again) == b"x"
    assert again.fingerprint == KEY.fingerprint != BackupKey.create().fingerprint
