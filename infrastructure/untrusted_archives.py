"""Reads archives of others within bounds.

The standard library takes heads of a tar and the directory of a zip into memory, however large they
say they are: the list of holes of a sparse file alone can fill it from a megabyte of gzip.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar, cast

LARGEST_HEADS = 4 << 20  # bytes before one member: its own head, long names, lists of holes
XZ_MEMORY = 64 << 20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may take gigabytes of memory
T = TypeVar("T")
_CHUNK = 1 << 20
_GZIP, _BZIP2, _XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"


class HeadTooLarge(tarfile.TarError):
    """A member's heads are larger than LARGEST_HEADS."""


class _Heads:
    """A file that gives LARGEST_HEADS before each member."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.room = file, LARGEST_HEADS
        self.seek, self.tell = file.seek, file.tell
        self.is_content = False

    def read(self, size: int) -> bytes:
        if not self.is_content:
            self.room -= size
            if self.room < 0:
                raise HeadTooLarge("the heads of a member are too large")
        return self._file.read(size)


def tar_members(file: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yields the members of a tar without compression, in its order.

    The content is None for what is no plain file, such as a folder, a link or a sparse file. It has
    to be read before the next member. Raises tarfile.TarError, EOFError.
    """
    heads = _Heads(file)
    with _sane(lambda: tarfile.open(fileobj=cast("IO[bytes]", heads), mode="r:")) as archive:
        while info := _sane(archive.next):
            heads.room, heads.is_content = LARGEST_HEADS, True
            archive.members = []  # type: ignore[attr-defined]  # else it remembers every one
            is_plain = info.isreg() and not info.issparse()
            yield info, archive.extractfile(info) if is_plain else None
            heads.is_content = False


def _sane(read: Callable[[], T]) -> T:
    """Returns what is read. Raises tarfile.TarError, also for heads that make no sense."""
    try:
        return read()
    except (IndexError, ValueError, OverflowError) as problem:
        raise tarfile.ReadError(str(problem)) from None


def decompressed(file: io.BufferedReader) -> IO[bytes]:
    """Returns a reader of what gzip, bzip2 or xz have compressed; of another file itself."""
    beginning = file.peek(len(_XZ))
    if beginning.startswith(_GZIP):
        return cast("IO[bytes]", gzip.open(file))
    if beginning.startswith(_BZIP2):
        return cast("IO[bytes]", bz2.open(file))
    if beginning.startswith(_XZ):
        return io.BufferedReader(_Xz(file), _CHUNK)
    return file


class _Xz(io.RawIOBase):
    """Reads xz forward, with a bound of its memory, which the archive chooses otherwise."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file, self._at = file, 0
        self._decompressor = lzma.LZMADecompressor(memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + (self._at if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target < self._at:
            raise io.UnsupportedOperation("it reads forward alone")
        while self._at < target and self.read(min(_CHUNK, target - self._at)):
            pass
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not (data or self._decompressor.eof):
            more = self._file.read(_CHUNK) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not more:
                raise EOFError("the archive is cut off")
            data = self._decompressor.decompress(more, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def zip_directory(file: IO[bytes]) -> tuple[int, int]:
    """Returns the entries and the bytes of a zip's directory, which the library reads at once.

    Raises zipfile.BadZipFile.
    """
    end = cast(Any, zipfile)._EndRecData(file)  # what ZipFile itself goes by
    file.seek(0)
    if end is None:
        raise zipfile.BadZipFile
    return end[zipfile._ECD_ENTRIES_TOTAL], end[zipfile._ECD_SIZE]  # type: ignore[attr-defined]
