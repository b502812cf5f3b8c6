"""A folder or a bucket with the backups of one database cluster, named by its system identifier.

SYSTEM/base/20261130T031500Z/manifest.json.zst.age   written last: with it a base is whole
SYSTEM/base/20261130T031500Z/base.tar.zst.age
SYSTEM/writer.zst.age                                 who writes here, and how far (writer.py)
SYSTEM/wal/000000010000000000000002.zst.age           a segment of the write-ahead log
SYSTEM/wal/000000010000000000000003.00000000-0000a3c8.zst.age   a piece of one being written
SYSTEM/witness/tombstones.jsonl.00000000.zst.age      erasures and checkpoints (witness_files.py)
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from config.backup import sealed
from config.backup.backup_key import BackupKey
from config.supervisor.terminal import RunProblem

_LARGEST = 256 << 20  # an object that is read as a whole; somebody may have put a larger one there
_READ_BYTES = 16 << 20  # a request; its latency is 0.1 s for some stores
_PART_BYTES = 32 << 20  # S3 takes 10,000 parts of an object: 320 GB
_PARTS_AT_ONCE = 4
_REQUEST = timedelta(seconds=60)  # for a part of 32 MiB, too
_DRAFT_S = 3600  # a file that nobody has written to for so long is of a process that was killed


class StoreError(Exception):
    """The folder or bucket cannot be reached, is full, or refuses."""


def open_store(address: str) -> ObjectStore:
    """Returns the store of a folder's path or of a URL such as s3://bucket/prefix.

    Raises RunProblem. Credentials and endpoint of S3 come from AWS_ACCESS_KEY_ID and the like.
    """
    try:
        if "://" in address and not address.startswith("file://"):
            return from_url(
                address,
                client_options={"timeout": _REQUEST, "allow_http": _may_use_http()},
                retry_config={"retry_timeout": _REQUEST},
            )
        return LocalStore(Path(address.removeprefix("file://")).absolute(), mkdir=True)
    except (BaseError, OSError, ValueError) as error:
        raise RunProblem(
            f"FOREBAY_BACKUP_TO: {address} is no folder or bucket: {_first_line(error)}"
        ) from None


def _may_use_http() -> bool:
    """Returns AWS_ALLOW_HTTP, which the library reads only where it gets no other options."""
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")


class Repository:
    def __init__(self, store: ObjectStore, system: str, key: BackupKey) -> None:
        self._store, self._system, self._key = store, system, key

    def put(self, name: str, content: bytes) -> None:
        """Raises StoreError; the object is there whole, or not at all."""
        path = self._path(name)
        blob = sealed.sealed(path, content, self._key)
        with _as_store_error(path):
            obstore.put(self._store, path, blob)
            self._make_durable(path)

    def put_stream(self, name: str, source: sealed.Source) -> int:
        """Returns how many bytes were stored. Raises StoreError."""
        path = self._path(name)
        writing = obstore.open_writer(
            self._store, path, buffer_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
        )
        with _as_store_error(path), writing as writer:
            sealed.seal(path, source, writer, self._key)
        with _as_store_error(path):
            self._make_durable(path)
            return int(obstore.head(self._store, path)["size"])

    def get(self, name: str) -> bytes:
        """Raises StoreError, FileNotFoundError, sealed.Unreadable."""
        path = self._path(name)
        with _as_store_error(path):
            answer = obstore.get(self._store, path)
            if answer.meta["size"] > _LARGEST:
                raise sealed.Unreadable(f"{path} has {answer.meta['size']:,} bytes: it is not ours")
            blob = bytes(answer.bytes())
        return sealed.opened(path, blob, self._key)

    def get_stream(self, name: str, target: sealed.Target) -> None:
        """Raises StoreError, FileNotFoundError, sealed.Unreadable: then the target is of no use."""
        path = self._path(name)
        with _as_store_error(path):
            reader = obstore.open_reader(self._store, path, buffer_size=_READ_BYTES)
            sealed.open_to(path, _Bytes(reader.read), target, self._key)

    def names(self, folder: str, after: str = "") -> list[str]:
        """Returns the names in a folder and below it, sorted, without their suffix.

        `after` leaves out those up to it, which a bucket then does not list.
        """
        prefix = f"{self._system}/{folder}/"
        offset = f"{prefix}{after}" if after else None
        with _as_store_error(prefix):
            listing = obstore.list(self._store, prefix, offset=offset)
            paths = [row["path"] for rows in listing for row in rows]
        ours = (path for path in paths if path.endswith(sealed.SUFFIX))
        return sorted(path.removeprefix(prefix).removesuffix(sealed.SUFFIX) for path in ours)

    def delete(self, name: str) -> None:
        """Raises StoreError; what is not there counts as deleted."""
        path = self._path(name)
        with suppress(FileNotFoundError), _as_store_error(path):
            obstore.delete(self._store, path)

    def delete_all(self, names: Iterable[str]) -> None:
        """Delete objects that are there, a thousand in a request. Raises StoreError."""
        if paths := [self._path(name) for name in names]:
            with suppress(FileNotFoundError), _as_store_error(paths[0]):
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

    def _make_durable(self, path: str) -> None:
        """Write a folder's file through to the disk; buckets do so before they answer."""
        if isinstance(self._store, LocalStore) and self._store.prefix:
            file = Path(self._store.prefix) / path
            for each in (file, file.parent):
                descriptor = os.open(each, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)


def systems(store: ObjectStore) -> list[str]:
    """Returns the system identifiers of the clusters that have backups here. Raises StoreError.

    Other folders beside them, such as a disk's `lost+found`, are none.
    """
    with _as_store_error(""):
        prefixes = obstore.list_with_delimiter(store)["common_prefixes"]
    names = (prefix.strip("/").rpartition("/")[2] for prefix in prefixes)
    return sorted(name for name in names if name.isdecimal())


class _Bytes:
    """pyrage takes `bytes` alone."""

    def __init__(self, read: Callable[[int], Any]) -> None:
        self._read = read

    def read(self, size: int) -> bytes:
        return bytes(self._read(size))


@contextmanager
def _as_store_error(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise StoreError(f"{path}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
