"""Opens a folder or a bucket by its address, and turns its errors into one.

Credentials and endpoint of S3 come from AWS_ACCESS_KEY_ID and the like.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

PART_BYTES = 32 << 20  # S3 takes 10,000 parts of an object: 320 GB
PARTS_AT_ONCE = 4
READ_BYTES = 16 << 20  # a request; its latency is 0.1 s for some stores
_REQUEST = timedelta(seconds=60)  # for a part of 32 MiB, too


class StoreError(Exception):
    """The folder or bucket cannot be reached, is full, or refuses."""


def open_place(address: str) -> ObjectStore:
    """Returns the store of a folder's path or of a URL such as s3://bucket/prefix.

    Raises StoreError.
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
        raise StoreError(f"{address} is no folder or bucket: {first_line(error)}") from None


def _may_use_http() -> bool:
    """Returns AWS_ALLOW_HTTP, which the library reads only where it gets no other options."""
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")


def local_file(store: ObjectStore, path: str) -> Path | None:
    """Returns the file of an object in a folder; None for a bucket."""
    if isinstance(store, LocalStore) and store.prefix:
        return Path(store.prefix) / path
    return None


def make_durable(store: ObjectStore, path: str) -> None:
    """Write a folder's file through to the disk; buckets do so before they answer."""
    if file := local_file(store, path):
        for each in (file, file.parent):
            descriptor = os.open(each, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def as_store_error(path: str, *, writes: bool = False) -> Iterator[None]:
    """Turns the library's errors into StoreError; FileNotFoundError stays.

    Not where it `writes`: there the bucket or the folder itself is missing.
    """
    try:
        yield
    except FileNotFoundError as error:
        if not writes:
            raise
        raise StoreError(f"{path}: {first_line(error)}") from None
    except (BaseError, OSError) as error:
        raise StoreError(f"{path}: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
