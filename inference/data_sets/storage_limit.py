"""Bounds the bytes of one version, and of a tenant's data sets together.

A version's row says what it takes. It is raised before bytes are stored, under a lock for the
tenant, so that two uploads at the same time cannot exceed the limit together.
"""

from uuid import UUID

from django.conf import settings
from django.db.models import Sum

from inference.models import DataSetVersion
from infrastructure.postgres.queries import lock


class TooLarge(Exception):
    """The version has reached the limit of a version."""


class StorageFull(Exception):
    """The tenant's data sets have reached their limit. `stored` is their size in bytes."""

    def __init__(self, stored: int) -> None:
        super().__init__(stored)
        self.stored = stored


class VersionGone(Exception):
    """The version was deleted while it was being written."""


def reserve(version: DataSetVersion, size: int) -> None:
    """Let the version take `size` bytes in all; it never takes less by this.

    Runs in a transaction of the tenant's scope. Raises TooLarge, StorageFull, VersionGone.
    """
    if size <= version.stored_bytes:
        return
    if size > settings.DATA_SET_BYTES:
        raise TooLarge
    lock_data_sets(version.tenant_id)
    others = stored(version.tenant_id, besides=version)
    if others + size > settings.DATA_SETS_BYTES:
        raise StorageFull(others)
    if not DataSetVersion.objects.moving().filter(pk=version.pk).update(stored_bytes=size):
        raise VersionGone
    version.stored_bytes = size


def lock_data_sets(tenant_id: UUID) -> None:
    """Have others that write a tenant's rows wait until the transaction ends."""
    lock(f"data sets:{tenant_id}")


def stored(tenant_id: UUID, besides: DataSetVersion | None = None) -> int:
    """Returns the bytes of a tenant's data sets."""
    versions = DataSetVersion.objects.filter(tenant_id=tenant_id)
    others = versions.exclude(pk=besides.pk) if besides else versions
    return others.aggregate(size=Sum("stored_bytes"))["size"] or 0
