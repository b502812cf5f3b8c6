"""A folder or a bucket with the backups of one database cluster, named by its system identifier.

SYSTEM/base/20261130T031500Z/manifest.json.zst.age   written last: with it a base is whole
SYSTEM/base/20261130T031500Z/base.tar.zst.age
SYSTEM/writer.zst.age  who writes here, and how far (writer.py)
SYSTEM/wal/000000010000000000000002.zst.age  a segment of the write-ahead log
SYSTEM/wal/000000010000000000000003.00000000-0000a3c8.zst.age  a piece of one being written
SYSTEM/witness/tombstones.jsonl.00000000.zst.age  no restore undoes it (backup/witness_files.py)
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import obstore
from obstore.store import LocalStore, ObjectStore

from config.backup.storage import sealed
from config.backup.storage.backup_key import BackupKey
from config.supervisor.terminal import RunProblem
from infrastructure.objects.place import (
    PART_BYTES,
    PARTS_AT_ONCE,
    READ_BYTES,
    StoreError,
    as_store_error,
    make_durable,
    open_place,
)

_LARGEST = 256 << 20  # an object that is read as a whole; somebody may have put a larger one there
_DRAFT_S = 3600  # a file that nobody has written to for so long is of a process that was killed


def open_store(address: str) -> ObjectStore:
    """Returns the store of a folder's path or of a URL such as s3://bucket/prefix.

    Raises RunProblem.
    """
    try:
        return open_place(address)
    except StoreError as error:
        raise RunProblem(f"FOREBAY_BACKUP_TO: {error}") from None


class Repository:
    def __init__(self, store: ObjectStore, system: str, key: BackupKey) -> None:
        self._store, self._system, self._key = store, system, key

    def put(self, name: str, content: bytes) -> None:
        """Raises StoreError; the object is there whole, or not at all."""
        path = self._path(name)
        blob = sealed.sealed(path, content, self._key)
        with as_store_error(path):
            obstore.put(self._store, path, blob)
            make_durable(self._store, path)

    def put_stream(self, name: str, source: sealed.Source) -> int:
        """Returns how many bytes were stored. Raises StoreError."""
        path = self._path(name)
        writing = obstore.open_writer(
            self._store, path, buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )
        with as_store_error(path), writing as writer:
            sealed.seal(path, source, writer, self._key)
        with as_store_error(path):
            make_durable(self._store, path)
            return int(obstore.head(self._store, path)["size"])

    def get(self, name: str) -> bytes:
        """Raises StoreError, FileNotFoundError, sealed.Unreadable."""
        path = self._path(name)
        with as_store_error(path):
            answer = obstore.get(self._store, path)
            if answer.meta["size"] > _LARGEST:
                raise sealed.Unreadable(f"{path} has {answer.meta['size']:,} bytes: it is not ours")
            blob = bytes(answer.bytes())
        return sealed.opened(path, blob, self._key)

    def get_stream(self, name: str, target: sealed.Target) -> None:
        """Raises StoreError, FileNotFoundError, sealed.Unreadable: then the target is of no use."""
        path = self._path(name)
        with as_store_error(path):
            reader = obstore.open_reader(self._store, path, buffer_size=READ_BYTES)
            sealed.open_to(path, _Bytes(reader.read), target, self._key)

    def names(self, folder: str, after: str = "") -> list[str]:
        """Returns the names in a folder and below it, sorted, without their suffix.

        `after` leaves out those up to it, which a bucket then does not list.
        """
        prefix = f"{self._system}/{folder}/"
        offset = f"{prefix}{after}" if after else None
        with as_store_error(prefix):
            listing = obstore.list(self._store, prefix, offset=offset)
            paths = [row["path"] for rows in listing for row in rows]
        ours = (path for path in paths if path.endswith(sealed.SUFFIX))
        return sorted(path.removeprefix(prefix).removesuffix(sealed.SUFFIX) for path in ours)

    def delete(self, name: str) -> None:
        """Raises StoreError; what is not there counts as deleted."""
        path = self._path(name)
        with suppress(FileNotFoundError), as_store_error(path):
            obstore.delete(self._store, path)

    def delete_all(self, names: Iterable[str]) -> None:
        """Delete objects that are there, a thousand in a request. Raises StoreError."""
        if paths := [self._path(name) for name in names]:
            with suppress(FileNotFoundError), as_store_error(paths[0]):
                obstore.delete(self._store, paths)

    def delete_drafts(self) -> None:
        """Delete what a process that was killed had half written into a folder.

        Buckets hide such parts, and delete them by a lifecycle rule.
        """
        if isinstance(self._store, LocalStore) and self._store.prefix:
            for file in (Path(self._store.prefix) / self._system).rglob(f"*{sealed.SUFFIX}#*"):
                if time.time() - file.stat().st_mtime > _DRAFT_S:
                    file.unlink(missing_ok=True)

    def _path(self, name: str) -> str:
        return f"{self._system}/{name}{sealed.SUFFIX}"


def systems(store: ObjectStore) -> list[str]:
    """Returns the system identifiers of the clusters that have backups here. Raises StoreError.

    Other folders beside them, such as a disk's `lost+found`, are none.
    """
    with as_store_error(""):
        prefixes = obstore.list_with_delimiter(store)["common_prefixes"]
    names = (prefix.strip("/").rpartition("/")[2] for prefix in prefixes)
    return sorted(name for name in names if name.isdecimal())


class _Bytes:
    """pyrage takes `bytes` alone."""

    def __init__(self, read: Callable[[int], Any]) -> None:
        self._read = read

    def read(self, size: int) -> bytes:
        return bytes(self._read(size))
