"""Pages of an archive of Markdown: a ZIP, a tar of any compression, or a single page.

An archive is somebody else's: names are labels and never paths, and what it unpacks to is bounded
in bytes and in files before it is read.
"""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import PurePosixPath
from typing import IO, NamedTuple

from inference.data_sets.rows import LONGEST_LINE

MOST_FILES = 100_000
MOST_UNPACKED = 4 * 1024 * 1024 * 1024  # bytes, of skipped files too
LARGEST_DIRECTORY = 64 * 1024 * 1024  # bytes of a ZIP's directory, which is read at once
LONGEST_NAME = 300
_SUFFIXES = {".md", ".markdown", ".mdx", ".txt", ".rst"}
_END_OF_ZIP, _END_SIZE = b"PK\x05\x06", 22


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
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, LZMAError, zlib.error):
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
            if problem := _name_problem(entry.filename):
                yield Page(_label(entry.filename), problem=problem)
                continue
            with archive.open(entry) as file:
                yield _read(entry.filename, file)


def _check_directory(source: io.BufferedReader) -> None:
    """Refuses a ZIP whose directory alone would fill the memory. Raises BadArchive."""
    end = source.seek(0, io.SEEK_END)
    source.seek(max(0, end - 65_536 - _END_SIZE))
    tail = source.read()
    at = tail.rfind(_END_OF_ZIP)
    source.seek(0)
    if at >= 0 and int.from_bytes(tail[at + 12 : at + 16], "little") > LARGEST_DIRECTORY:
        raise BadArchive("archive_too_large")


def _is_tar(source: io.BufferedReader) -> bool:
    try:
        with tarfile.open(fileobj=source, mode="r:*"):
            return True
    except tarfile.ReadError:
        return False
    finally:
        source.seek(0)


def _of_tar(source: io.BufferedReader) -> Iterator[Page]:
    budget = _Budget()
    with tarfile.open(fileobj=source, mode="r:*") as archive:
        while entry := archive.next():
            budget.take(entry.size)
            archive.members = []  # type: ignore[attr-defined]  # else it remembers every one
            if entry.isdir():
                continue
            problem = "" if entry.isfile() else "not_a_file"
            if problem := problem or _name_problem(entry.name):
                yield Page(_label(entry.name), problem=problem)
            elif file := archive.extractfile(entry):
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
