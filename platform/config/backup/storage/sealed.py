"""One object of a backup: compressed, signed under its name, encrypted.

The plaintext of the age file is a zstd frame, and a skippable frame with the signature, which
`zstd -d` passes over (RFC 8878, section 3.1.2). An object under another's name does not open.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Protocol

import pyrage
import zstandard

from config.backup.storage.backup_key import SIGNATURE_BYTES, BackupKey

SUFFIX = ".zst.age"
_SKIPPABLE = 0x184D2A50
_FRAME = struct.Struct("<II")
_TRAILER = _FRAME.size + SIGNATURE_BYTES
_CHUNK = 1 << 20
_LEVEL = 1  # a quarter of the time of zstd's default, for a tenth more bytes


class Unreadable(Exception):
    """The object was made with another key, stands under another name, or is damaged."""


class Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Target(Protocol):
    def write(self, part: bytes, /) -> object: ...


def seal(name: str, source: Source, target: Target, key: BackupKey) -> None:
    """Write the sealed content of `source` to `target`, a chunk at a time."""
    plain = _Reader(_signed_frames(name, source, key))
    parts = _Writer(target)
    with _own_errors(plain, parts):
        pyrage.encrypt_io(plain, parts, [key.identity.to_public()])
        parts.flush()


def sealed(name: str, content: bytes, key: BackupKey) -> bytes:
    target = io.BytesIO()
    seal(name, io.BytesIO(content), target, key)
    return target.getvalue()


def open_to(name: str, source: Source, target: Target, key: BackupKey) -> None:
    """Write the content to `target`. Raises Unreadable, possibly after parts have been written."""
    blob, content = _Reader(_chunks(source)), _Opening(target)
    try:
        with _own_errors(blob, content):
            pyrage.decrypt_io(blob, content, [key.identity])
            content.finish()
    except (pyrage.DecryptError, zstandard.ZstdError, _Damaged) as error:
        raise Unreadable(f"{name} does not open with this key ({error})") from None
    if not key.is_signed(name, content.digest.digest(), content.signature):
        raise Unreadable(f"{name} is not signed with this key under this name")


def opened(name: str, blob: bytes, key: BackupKey) -> bytes:
    target = io.BytesIO()
    open_to(name, io.BytesIO(blob), target, key)
    return target.getvalue()


def _signed_frames(name: str, source: Source, key: BackupKey) -> Iterator[bytes]:
    digest = sha256()
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    for chunk in _chunks(source):
        digest.update(chunk)
        yield compressor.compress(chunk)
    yield compressor.flush()
    yield _FRAME.pack(_SKIPPABLE, SIGNATURE_BYTES) + key.sign(name, digest.digest())


def _chunks(source: Source) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield bytes(chunk)


class _Damaged(Exception):
    """age found a file cut off or changed."""


@contextmanager
def _own_errors(*files: "_Reader | _Writer | _Opening") -> Iterator[None]:
    """Raise what a file of ours raised: pyrage puts errors of its own in their place."""
    try:
        yield
    except (OSError, pyrage.DecryptError, pyrage.EncryptError) as error:
        for file in files:
            if file.error:
                raise file.error from None
        if isinstance(error, OSError):
            raise _Damaged(str(error)) from None
        raise


class _Reader:
    """A file made of parts."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        while not self._rest:
            try:
                part = next(self._parts, None)
            except Exception as error:
                self.error = error
                raise
            if part is None:
                return b""
            self._rest = part
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


class _Writer:
    """Collects the 64 KiB that age writes at a time into larger parts."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._parts = bytearray()
        self.error: Exception | None = None

    def write(self, part: bytes) -> int:
        self._parts += part
        if len(self._parts) >= _CHUNK:
            self.flush()
        return len(part)

    def flush(self) -> None:
        try:
            self._target.write(bytes(self._parts))
        except Exception as error:
            self.error = error
            raise
        self._parts.clear()


class _Opening:
    """Takes plaintext of an age file, writes what it contains, and holds its signature back."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._decompressor = zstandard.ZstdDecompressor().decompressobj()
        self._tail = b""
        self.digest = sha256()
        self.signature = b""
        self.error: Exception | None = None

    def write(self, part: bytes) -> int:
        whole = self._tail + bytes(part)
        self._tail = whole[-_TRAILER:]
        try:
            self._decompress(whole[:-_TRAILER])
        except Exception as error:
            self.error = error
            raise
        return len(part)

    def _decompress(self, part: bytes) -> None:
        if part:
            content = self._decompressor.decompress(part)
            self.digest.update(content)
            self._target.write(content)

    def flush(self) -> None:
        """Does nothing: there is a buffer of the target's alone."""

    def finish(self) -> None:
        self.signature = self._tail[_FRAME.size :]
