"""Bounds the bytes of a tenant's files together, those that are being written included.

An upload reserves room ahead in its file's row, under a lock for the tenant, so that two uploads at
the same time cannot exceed the limit together. Results of batches are written in any case, for they
are paid for; they count, and no upload or batch begins while there is no room.
"""

from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from inference.models import File

AHEAD = 16 * 1024 * 1024  # bytes that are reserved in one step


class StorageFull(Exception):
    """The tenant's files have reached the limit. `stored` is their size in bytes."""

    def __init__(self, stored: int) -> None:
        super().__init__(stored)
        self.stored = stored


class TooManyFiles(Exception):
    """The tenant has too many files, counting uploads under way and their parts."""


class FileGone(Exception):
    """The file was deleted while it was being written: an erased person, or a closed tenant."""


def check_number(file: File) -> None:
    """Check the number of other files in the tenant's scope: many may be empty.

    Raises TooManyFiles.
    """
    others = File.objects.filter(tenant_id=file.tenant_id).exclude(pk=file.pk).order_by()
    if others[: settings.TENANT_FILES_MOST].count() >= settings.TENANT_FILES_MOST:
        raise TooManyFiles


def check(tenant_id: UUID) -> None:
    """Check for room in the tenant's scope. Raises StorageFull if nothing more may be stored."""
    if (stored := _stored(tenant_id)) >= settings.TENANT_FILES_BYTES:
        raise StorageFull(stored)


def reserve(file: File, size: int) -> int:
    """Reserve `size` bytes for the file, and some more if there is room. Returns the bytes.

    Runs in the tenant's scope. Raises StorageFull, FileGone.
    """
    with connection.cursor() as cursor:
        name = f"files:{file.tenant_id}"
        cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
    others = _stored(file.tenant_id, besides=file)
    if others + size > settings.TENANT_FILES_BYTES:
        raise StorageFull(others)
    reserved = min(size + AHEAD, settings.TENANT_FILES_BYTES - others)
    if not File.objects.filter(pk=file.pk).update(size=reserved):
        raise FileGone
    return int(reserved)


def _stored(tenant_id: UUID, besides: File | None = None) -> int:
    files = File.objects.filter(tenant_id=tenant_id)
    others = files.exclude(pk=besides.pk) if besides else files
    return others.aggregate(size=Sum("size"))["size"] or 0
