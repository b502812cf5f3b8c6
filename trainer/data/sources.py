"""The files of a data set: one file, a folder, or a zip archive that is read in place."""

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from trainer.refusals import bad_data

TEXTS, MARKDOWN, LINES = {".txt", ".text"}, {".md", ".markdown"}, {".jsonl", ".ndjson", ".json"}
KNOWN = TEXTS | MARKDOWN | LINES
MOST_FILES = 200_000
MOST_UNPACKED = 64 << 30
MOST_TIMES_PACKED = 200  # texts shrink to a tenth, seldom to a hundredth


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the set. `open` gives its bytes."""

    name: str  # relative to the set
    suffix: str
    size: int
    open: Callable[[], BinaryIO]


@contextmanager
def sources(path: Path) -> Iterator[list[Source]]:
    """Gives the files in the order of their names, which does not depend on the disk."""
    if path.is_file() and zipfile.is_zipfile(path):
        with _archive(path) as archive:
            yield _some(_members(archive, path.stat().st_size))
    elif path.is_dir():
        yield _some(_files(path))
    else:
        yield [_file(path, path.name)]


def _some(files: list[Source]) -> list[Source]:
    if not files:
        raise bad_data("no_files", f"There is no file that ends in {', '.join(sorted(KNOWN))}")
    return sorted(files, key=lambda source: source.name)


def _files(folder: Path) -> list[Source]:
    """Returns the known files below a folder; links are left out, wherever they lead."""
    result = list[Source]()
    for path in folder.rglob("*"):
        if path.suffix.lower() in KNOWN and path.is_file() and not path.is_symlink():
            result.append(_file(path, path.relative_to(folder).as_posix()))
            _check_count(len(result))
    return result


def _file(path: Path, name: str) -> Source:
    return Source(name, path.suffix.lower(), path.stat().st_size, lambda: path.open("rb"))


def _check_count(count: int) -> None:
    if count > MOST_FILES:
        raise bad_data("too_many_files", f"There are more than {MOST_FILES} files")


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise bad_data(
            "bad_archive", "The archive is broken, or packed in an unknown way"
        ) from error


def _members(archive: zipfile.ZipFile, packed: int) -> list[Source]:
    _check_count(len(archive.infolist()))
    members = [info for info in archive.infolist() if not info.is_dir()]
    for info in members:
        _check_member(info)
    unpacked = sum(info.file_size for info in members)
    if unpacked > min(MOST_UNPACKED, MOST_TIMES_PACKED * packed):
        raise bad_data("zip_bomb", "The archive unpacks to far more than it has")
    known = [info for info in members if _suffix(info) in KNOWN]
    return [_member(archive, info) for info in known]


def _check_member(info: zipfile.ZipInfo) -> None:
    name = PurePosixPath(info.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in info.filename:
        raise bad_data("bad_name", "A name in the archive leads out of it")
    if info.flag_bits & 1:
        raise bad_data("encrypted", "The archive is encrypted")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise bad_data("bad_name", "The archive holds a link")
    if _suffix(info) in (".zip", ".gz", ".tar", ".7z", ".xz", ".bz2", ".zst"):
        raise bad_data("nested_archive", "The archive holds another archive")


def _suffix(info: zipfile.ZipInfo) -> str:
    return PurePosixPath(info.filename).suffix.lower()


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Source:
    def opened() -> BinaryIO:
        # zipfile reads no more than the size in the directory, which was checked.
        return cast(BinaryIO, archive.open(info))

    return Source(info.filename, _suffix(info), info.file_size, opened)
