"""Pages of an archive of Markdown: a ZIP, a tar of any compression, or a single page.

An archive is somebody else's: names are labels and never paths, and what it unpacks to is bounded
in bytes and in files before it is read.
"""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import PurePosixPath
from typing import IO, NamedTuple

from inference.data_sets.rows import LONGEST_LINE
from infrastructure.untrusted_archives import (
    METHODS,
    HeadTooLarge,
    decompressed,
    tar_members,
    zip_directory,
)

MOST_FILES = 100_000
MOST_UNPACKED = 4 * 1024 * 1024 * 1024  # bytes, of skipped files too
LARGEST_DIRECTORY = 64 * 1024 * 1024  # bytes of a ZIP's directory, which is read at once
LONGEST_NAME = 300
_SUFFIXES = {".md", ".markdown", ".mdx", ".txt", ".rst"}
# A name that is no text, a place before the beginning: ValueError; a cut field: struct.error.
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, LZMAError, zlib.error, struct.error)
_BROKEN = (*_DAMAGED, EOFError, OSError, ValueError)


class BadArchive(Exception):
    """The argument is a code: `archive_broken`, `archive_too_large`, `archive_encrypted`."""


class Page(NamedTuple):
    """A file of the archive. `problem` is a code; without one, `text` is its content."""

    name: str
    text: str = ""
    problem: str = ""


class _Budget:
    """Counts files and unpacked bytes."""

    def __init__(self) -> None:
        self._files, self._bytes = MOST_FILES, MOST_UNPACKED

    def take(self, size: int) -> None:
        """Raises BadArchive."""
        self._files -= 1
        self._bytes -= size
        if self._files < 0 or self._bytes < 0:
            raise BadArchive("archive_too_large")


def pages(source: io.BufferedReader) -> Iterator[Page]:
    """Yields every page, and every file that is none, with the reason. Raises BadArchive."""
    try:
        yield from _pages(source)
    except HeadTooLarge:
        raise BadArchive("archive_too_large") from None
    except _BROKEN:
        raise BadArchive("archive_broken") from None
    except (NotImplementedError, RuntimeError):  # a compression, or a password
        raise BadArchive("archive_encrypted") from None


def _pages(source: io.BufferedReader) -> Iterator[Page]:
    head = source.peek(4)[:4]
    if head.startswith(b"PK"):
        yield from _of_zip(source)
    elif _is_tar(source):
        yield from _of_tar(source)
    else:
        yield _read("page.md", source)


def _of_zip(source: io.BufferedReader) -> Iterator[Page]:
    _check_directory(source)
    budget = _Budget()
    with zipfile.ZipFile(source) as archive:
        for entry in archive.infolist():
            budget.take(0 if entry.is_dir() else entry.file_size)
            if entry.is_dir():
                continue
            if entry.compress_type not in METHODS:
                raise NotImplementedError(entry.compress_type)
            if problem := _name_problem(entry.filename):
                yield Page(_label(entry.filename), problem=problem)
                continue
            with archive.open(entry) as file:
                yield _read(entry.filename, file)


def _check_directory(source: io.BufferedReader) -> None:
    """Refuses a ZIP whose directory alone would fill the memory. Raises BadArchive."""
    _entries, size = zip_directory(source)
    if size > LARGEST_DIRECTORY:
        raise BadArchive("archive_too_large")


def _is_tar(source: io.BufferedReader) -> bool:
    try:
        return next(tar_members(decompressed(source)), None) is not None
    except (tarfile.ReadError, EOFError):
        return False
    finally:
        source.seek(0)


def _of_tar(source: io.BufferedReader) -> Iterator[Page]:
    budget = _Budget()
    for entry, file in tar_members(decompressed(source)):
        budget.take(entry.size)
        if entry.isdir():
            continue
        if (problem := "" if file else "not_a_file") or (problem := _name_problem(entry.name)):
            yield Page(_label(entry.name), problem=problem)
        elif file:
            yield _read(entry.name, file)


def _read(name: str, file: IO[bytes]) -> Page:
    content = file.read(LONGEST_LINE + 1)
    if len(content) > LONGEST_LINE:
        return Page(_label(name), problem="too_long")
    try:
        return Page(_label(name), content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Page(_label(name), problem="not_utf8")


def _name_problem(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or len(name) > LONGEST_NAME:
        return "unsafe_name"
    return "" if path.suffix.lower() in _SUFFIXES else "not_a_page"


def _label(name: str) -> str:
    return name.encode(errors="replace").decode()[:LONGEST_NAME]
