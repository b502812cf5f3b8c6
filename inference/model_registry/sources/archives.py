"""Unpacks tar and zip within a number of bytes. Links, and names that leave, are refused.

Members are written as they are read, so that an archive that grows without end stops at the room
that is left. A folder that everything lies in is left out of the names.
"""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from inference.model_registry.contents import DEEPEST, MOST_FILES, check_name, is_left_out
from inference.model_registry.headers.header import BadFile
from inference.model_registry.sources.progress import Budget

_CHUNK = 1 << 20
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
_BROKEN = (*_DAMAGED, NotImplementedError, RuntimeError, ValueError)  # a password, a wrong name


class _Member(NamedTuple):
    name: str
    content: IO[bytes]


def is_archive(file: Path) -> bool:
    return zipfile.is_zipfile(file) or tarfile.is_tarfile(file)


def unpack(file: Path, target: Path, budget: Budget) -> Path:
    """Unpack into an empty folder. Returns the folder with the files. Raises BadFile, Stopped."""
    try:
        members = _of_zip(file) if zipfile.is_zipfile(file) else _of_tar(file)
        for number, member in enumerate(members):
            if number >= MOST_FILES:
                raise BadFile(f"the archive has more than {MOST_FILES} files")
            _write(member, target, budget)
    except BadFile:
        raise
    except _BROKEN:
        raise BadFile("the archive is broken, or protected by a password") from None
    return _inner(target)


def _of_zip(file: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if (info.external_attr >> 16) & 0o170000 == 0o120000:
                raise BadFile(f"the archive has a link: {info.filename[:60]!r}")
            if not info.is_dir():
                with archive.open(info) as content:
                    yield _Member(info.filename, content)


def _of_tar(file: Path) -> Iterator[_Member]:
    with tarfile.open(file, "r|*") as archive:
        for info in archive:
            if info.isdir():
                continue
            content = archive.extractfile(info) if info.isfile() else None
            if content is None:
                raise BadFile(f"the archive has a link or a device: {info.name[:60]!r}")
            yield _Member(info.name, content)


def _write(member: _Member, target: Path, budget: Budget) -> None:
    parts = _parts(member.name)
    if any(map(is_left_out, parts)):
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
