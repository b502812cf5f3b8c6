"""How many bytes the files of a tenant may have together, those among them that are being written.

Who writes an upload reserves room ahead, in its file's row and one of a tenant at a time: so two
at once cannot go past the limit together. Results of batches are written in any case, for they are
paid for; they count, and no upload or batch begins while there is no room.
"""

from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from inference.models import File

AHEAD = 16 * 1024 * 1024  # bytes that are reserved at once


class StorageFull(Exception):
    """`stored`: bytes that the tenant's files have now."""

    def __init__(self, stored: int) -> None:
        super().__init__(stored)
        self.stored = stored


class TooManyFiles(Exception):
    """Of a tenant, uploads that have begun and their parts among them."""


class FileGone(Exception):
    """It was deleted while it was being written: its person is erased, or its tenant closed."""


def check_number(tenant_id: UUID) -> None:
    """Within the tenant's scope. Raises TooManyFiles: bytes do not bound how many are empty."""
    there = File.objects.filter(tenant_id=tenant_id).order_by()
    if there[: settings.FILES_MOST].count() >= settings.FILES_MOST:
        raise TooManyFiles


def check(tenant_id: UUID) -> None:
    """Within the tenant's scope. Raises StorageFull where nothing more may be stored."""
    if (stored := _stored(tenant_id)) >= settings.FILES_BYTES:
        raise StorageFull(stored)


def reserve(file: File, size: int) -> int:
    """Bytes that are the file's now: `size`, and what comes next if there is room for it.

    Within the tenant's scope. Raises StorageFull, FileGone.
    """
    with connection.cursor() as cursor:
        name = f"files:{file.tenant_id}"
        cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
    others = _stored(file.tenant_id, besides=file)
    if others + size > settings.FILES_BYTES:
        raise StorageFull(others)
    reserved = min(size + AHEAD, settings.FILES_BYTES - others)
    if not File.objects.filter(pk=file.pk).update(size=reserved):
        raise FileGone
    return int(reserved)


def _stored(tenant_id: UUID, besides: File | None = None) -> int:
    files = File.objects.filter(tenant_id=tenant_id)
    others = files.exclude(pk=besides.pk) if besides else files
    return others.aggregate(size=Sum("size"))["size"] or 0
