"""Files by their SHA-256, apart for each owner: OWNER/ab/abcdef….

One owner's objects say nothing of another's: equal files of two owners are stored twice.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import obstore
from obstore.store import ObjectStore

from infrastructure.objects.place import (
    PART_BYTES,
    PARTS_AT_ONCE,
    READ_BYTES,
    as_store_error,
    local_file,
    make_durable,
    open_place,
)

_CHUNK = 4 << 20
_DRAFT = re.compile(r"[0-9a-f]{64}#[0-9]+")  # as the library names what is not whole yet


class Damaged(Exception):
    """The bytes do not have the hash by which they are stored, or were announced."""


@dataclass(frozen=True, slots=True)
class Stored:
    sha256: str
    size: int
    modified_at: datetime


class ContentStore:
    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def open(cls, address: str) -> "ContentStore":
        """Raises StoreError."""
        return cls(open_place(address))

    def has(self, owner: str, digest: str) -> bool:
        """Raises StoreError."""
        path = _path(owner, digest)
        with contextlib.suppress(FileNotFoundError), as_store_error(path):
            obstore.head(self._store, path)
            return True
        return False

    def put(self, owner: str, digest: str, source: Path) -> None:
        """Store a file under the hash that was announced for it: whole, or not at all.

        Raises StoreError, FileNotFoundError for the file, and Damaged if it has changed since.
        """
        path = _path(owner, digest)
        with source.open("rb") as content, as_store_error(path, writes=True):
            writing = obstore.open_writer(
                self._store, path, buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )
            with writing as writer:
                actual = sha256()
                while chunk := content.read(_CHUNK):
                    actual.update(chunk)
                    writer.write(chunk)
                if actual.hexdigest() != digest:
                    raise Damaged(f"{source.name} changed while it was stored")
            make_durable(self._store, path)

    def copy(self, owner: str, digest: str, target: Path) -> None:
        """Make `target` this content, by a hard link where the disk allows one.

        Raises StoreError, FileNotFoundError, Damaged.
        """
        if not self._linked(owner, digest, target):
            with target.open("xb") as file:
                for chunk in self.read(owner, digest):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        if digest_of(target) != digest:
            target.unlink()
            raise Damaged(f"{_path(owner, digest)} is damaged")

    def read(self, owner: str, digest: str, start: int = 0) -> Iterator[bytes]:
        """Yields the content from a byte on. Raises StoreError, FileNotFoundError."""
        path = _path(owner, digest)
        with as_store_error(path):
            reader = obstore.open_reader(self._store, path, buffer_size=READ_BYTES)
            reader.seek(start)
            while chunk := bytes(reader.read(_CHUNK)):
                yield chunk

    def delete(self, owner: str, digest: str) -> None:
        """Delete it; an object that is not there counts as deleted. Raises StoreError."""
        path = _path(owner, digest)
        with contextlib.suppress(FileNotFoundError), as_store_error(path):
            obstore.delete(self._store, path)

    def owners(self) -> list[str]:
        """Raises StoreError."""
        with as_store_error(""):
            prefixes = obstore.list_with_delimiter(self._store)["common_prefixes"]
        return sorted(prefix.strip("/").rpartition("/")[2] for prefix in prefixes)

    def stored(self, owner: str) -> Iterator[Stored]:
        """Yields the objects of an owner. Raises StoreError."""
        with as_store_error(owner):
            for rows in obstore.list(self._store, f"{owner}/"):
                for row in rows:
                    name = row["path"].rpartition("/")[2]
                    yield Stored(name, int(row["size"]), row["last_modified"])

    def delete_drafts(self, before: datetime) -> None:
        """Delete what writers left in a folder that were killed before then. Raises StoreError.

        Nothing lists it. Buckets delete theirs by a lifecycle rule.
        """
        folder = local_file(self._store, "")
        with as_store_error("drafts"):
            for path in folder.rglob("*#*") if folder else ():
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    if _DRAFT.fullmatch(path.name) and path.stat().st_mtime < before.timestamp():
                        path.unlink()

    def _linked(self, owner: str, digest: str, target: Path) -> bool:
        file = local_file(self._store, _path(owner, digest))
        if file is None:
            return False
        if not file.exists():
            raise FileNotFoundError(_path(owner, digest))
        with contextlib.suppress(OSError):  # another disk, or one without links
            os.link(file, target)
            return True
        return False


def digest_of(file: Path) -> str:
    """Returns the SHA-256 of a file's content, in hex."""
    digest = sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _path(owner: str, digest: str) -> str:
    return f"{owner}/{digest[:2]}/{digest}"
