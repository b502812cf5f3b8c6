"""A large encrypted file, written and read piece by piece and never held in memory as a whole.

Each piece is bound to the file, its number and whether it is the last: no piece can be swapped,
left out, or cut off.
"""

import os
import struct
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Self

from audit.keys.cipher import Cipher, Unreadable

PIECE = 256 * 1024
_LENGTH = struct.Struct(">I")


class EncryptedFile:
    """Writes under a temporary name, and renames the file once it is complete."""

    def __init__(self, path: Path, cipher: Cipher, aad: bytes) -> None:
        self._path, self._cipher, self._aad = path, cipher, aad
        self._partial = path.with_name(path.name + ".partial")
        self._pending, self._number, self.size = bytearray(), 0, 0
        self._digest = sha256()

    @property
    def sha256(self) -> str:
        """The hash of what was written, before its encryption."""
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file: BinaryIO = os.fdopen(handle, "wb")
        return self

    def write(self, data: bytes) -> int:
        self._pending += data
        self._digest.update(data)
        self.size += len(data)
        while len(self._pending) > PIECE:
            self._put(bytes(self._pending[:PIECE]), last=False)
            del self._pending[:PIECE]
        return len(data)

    def flush(self) -> None:
        """Does nothing: leaving the block writes the end."""

    def _put(self, piece: bytes, *, last: bool) -> None:
        ciphertext = self._cipher.encrypt(piece, _aad(self._aad, self._number, last))
        self._file.write(_LENGTH.pack(len(ciphertext)) + ciphertext)
        self._number += 1

    def __exit__(self, kind: object, *_problem: object) -> None:
        try:
            with self._file:
                if kind is None:
                    self._put(bytes(self._pending), last=True)
                    self._file.flush()
                    os.fsync(self._file.fileno())
            if kind is None:
                self._partial.replace(self._path)
        finally:
            self._partial.unlink(missing_ok=True)


def decrypted(path: Path, cipher: Cipher, aad: bytes) -> Iterator[bytes]:
    """Yields the decrypted pieces. Raises Unreadable, FileNotFoundError."""
    number, last = 0, False
    with path.open("rb") as file:
        while head := file.read(_LENGTH.size):
            if last or len(head) < _LENGTH.size:
                raise Unreadable("more than was written")
            (length,) = _LENGTH.unpack(head)
            if length > PIECE + 64:
                raise Unreadable("not as it was written")
            piece, last = _piece(cipher, file.read(length), aad, number)
            number += 1
            yield piece
    if not last:
        raise Unreadable("the end is missing")


def _piece(cipher: Cipher, ciphertext: bytes, aad: bytes, number: int) -> tuple[bytes, bool]:
    try:
        return cipher.decrypt(ciphertext, _aad(aad, number, last=False)), False
    except Unreadable:
        return cipher.decrypt(ciphertext, _aad(aad, number, last=True)), True


def _aad(aad: bytes, number: int, last: bool) -> bytes:
    return aad + struct.pack(">IB", number, last)
