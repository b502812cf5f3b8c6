"""Unpacks tar, tar.gz and zip within a number of bytes. Links, and names that leave, are refused.

Members are written as they are read, so that an archive that grows without end stops at the room
that is left. Memory is bounded, too: neither a tar's own headers nor a zip's directory are read
beyond a size, and only methods that need little of it are known. A folder that everything lies in
is left out of the names.
"""

import gzip
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from inference.model_registry.contents import DEEPEST, MOST_FILES, check_name, is_left_out
from inference.model_registry.headers.header import BadFile
from inference.model_registry.sources.progress import Budget
from infrastructure.untrusted_archives import METHODS, HeadTooLarge, tar_members, zip_directory

_CHUNK = 1 << 20
_LARGEST_DIRECTORY = 8 << 20  # of a zip
_ZIP, _GZIP, _TAR, _TAR_AT = b"PK\x03\x04", b"\x1f\x8b", b"ustar", 257
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error, gzip.BadGzipFile)
# A password or an unknown method, a name that is no text, the end before its time.
_BROKEN = (*_DAMAGED, NotImplementedError, RuntimeError, ValueError, EOFError)


class _Member(NamedTuple):
    name: str
    size: int  # as it is announced
    content: IO[bytes]


def is_archive(file: Path) -> bool:
    return bool(_form(file))


def _form(file: Path) -> bytes:
    """Returns the magic number of an archive; b"" for another file."""
    with file.open("rb") as content:
        beginning = content.read(_TAR_AT + len(_TAR))
    if beginning[_TAR_AT:] == _TAR:
        return _TAR
    return next((magic for magic in (_ZIP, _GZIP) if beginning.startswith(magic)), b"")


def unpack(file: Path, target: Path, budget: Budget) -> Path:
    """Unpack into an empty folder. Returns the folder with the files. Raises BadFile, Stopped."""
    try:
        for member in _of_zip(file) if _form(file) == _ZIP else _of_tar(file):
            _write(member, target, budget)
    except BadFile:
        raise
    except HeadTooLarge:
        raise BadFile("the archive has a header that is too large") from None
    except _BROKEN:
        raise BadFile("the archive is broken, or protected by a password") from None
    return _inner(target)


def _count(number: int) -> None:
    if number > MOST_FILES:
        raise BadFile(f"the archive has more than {MOST_FILES} files")


def _of_zip(file: Path) -> Iterator[_Member]:
    _check_directory(file)
    with zipfile.ZipFile(file) as archive:
        for number, info in enumerate(archive.infolist(), 1):
            _count(number)
            if (info.external_attr >> 16) & 0o170000 == 0o120000:
                raise BadFile(f"the archive has a link: {info.filename[:60]!r}")
            if info.compress_type not in METHODS:
                raise BadFile("the archive is compressed in a way that is not known here")
            if not info.is_dir():
                with archive.open(info) as content:
                    yield _Member(info.filename, info.file_size, content)


def _check_directory(file: Path) -> None:
    """Refuse a zip whose directory, which the library reads as a whole, is too large."""
    with file.open("rb") as content:
        entries, size = zip_directory(content)
    _count(entries)
    if size > _LARGEST_DIRECTORY:
        raise BadFile(f"the archive has more than {MOST_FILES} files")


def _of_tar(file: Path) -> Iterator[_Member]:
    with _plain(file) as content:
        for number, (info, member) in enumerate(tar_members(content), 1):
            _count(number)
            if info.isdir():
                continue
            if member is None:
                raise BadFile(f"the archive has a link or a device: {info.name[:60]!r}")
            yield _Member(info.name, info.size, member)


@contextmanager
def _plain(file: Path) -> Iterator[IO[bytes]]:
    if _form(file) == _GZIP:
        with gzip.open(file) as content:
            yield cast("IO[bytes]", content)
    else:
        with file.open("rb") as content:
            yield content


def _write(member: _Member, target: Path, budget: Budget) -> None:
    parts = _parts(member.name)
    if any(map(is_left_out, parts)):
        budget.spend(member.size)  # it is read, though it is not written
        return
    path = target.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as written:
            while chunk := member.content.read(_CHUNK):
                budget.spend(len(chunk))
                written.write(chunk)
    except FileExistsError:
        raise BadFile(f"the archive has two files called {member.name[:60]!r}") from None


def _parts(name: str) -> tuple[str, ...]:
    """Returns folders and name of a member. Raises BadFile."""
    parts = tuple(part for part in PurePosixPath(name).parts if part != ".")
    if not parts or name.startswith("/") or ".." in parts or "\\" in name:
        raise BadFile(f"the archive has a name that leaves its folder: {name[:60]!r}")
    if len(parts) > DEEPEST + 1:
        raise BadFile("the archive has too many folders in each other")
    for part in parts:
        if not is_left_out(part):
            check_name(part)
    return parts


def _inner(target: Path) -> Path:
    """Returns the single folder in which everything lies, or the target."""
    inside = list(target.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else target
