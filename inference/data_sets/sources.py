"""The bytes that a version is read from, as a file that can be read at any place."""

import io
from bisect import bisect_right
from itertools import accumulate
from typing import Any, Protocol

from inference.batch.file_store import FileReader
from inference.data_sets import encryption
from inference.models import ChunkPart, DataSetChunk, DataSetSource, DataSetVersion, File
from tenants.scope import tenant_scope

BUFFER = 1024 * 1024


class SourceGone(Exception):
    """The file was deleted before it was read."""


class _Bytes(Protocol):
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Returns bytes there, at least one before the end."""


class UploadedBytes:
    """The pieces of an upload. Memory holds one of them."""

    def __init__(self, version: DataSetVersion) -> None:
        self._version = version
        with tenant_scope(version.tenant_id):
            pieces = DataSetChunk.objects.filter(version=version, part=ChunkPart.UPLOAD)
            rows = list(pieces.order_by("number").values_list("pk", "size"))
        self._ids = [pk for pk, _size in rows]
        self._ends = list(accumulate(size for _pk, size in rows))
        self.size = self._ends[-1] if rows else 0
        self._number, self._piece = -1, b""

    def read(self, offset: int, length: int) -> bytes:
        """Returns bytes there, at most to the end of their piece."""
        number = bisect_right(self._ends, offset)
        if number != self._number:
            self._piece, self._number = self._decrypted(self._ids[number]), number
        start = offset - (self._ends[number - 1] if number else 0)
        return self._piece[start : start + length]

    def _decrypted(self, pk: int) -> bytes:
        with tenant_scope(self._version.tenant_id):
            chunk = DataSetChunk.objects.select_related("version").get(pk=pk)
        return encryption.decrypted(chunk)


class _StoredFile:
    def __init__(self, version: DataSetVersion) -> None:
        with tenant_scope(version.tenant_id):
            files = File.objects.whole().filter(tenant_id=version.tenant_id)
            file = files.filter(pk__in=[version.source_file_id]).first()
        if file is None:
            raise SourceGone
        self._reader, self.size = FileReader(file), file.size

    def read(self, offset: int, length: int) -> bytes:
        return self._reader.read(offset, length)


class _Raw(io.RawIOBase):
    def __init__(self, content: _Bytes) -> None:
        super().__init__()
        self._content, self._at = content, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._content.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._content.size - self._at)
        if length <= 0:
            return 0
        data = self._content.read(self._at, length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def opened(version: DataSetVersion) -> io.BufferedReader:
    """Returns the source of an upload or of a file. Raises SourceGone, Unreadable."""
    is_file = version.source == DataSetSource.FILE
    content: _Bytes = _StoredFile(version) if is_file else UploadedBytes(version)
    return io.BufferedReader(_Raw(content), BUFFER)
