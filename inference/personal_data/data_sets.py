"""Erasure, retention and export of people's words in data sets, and marks on trained models."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from audit.erasure.erasers import Evidence
from audit.exports.portability import Row
from inference.data_sets import chunks, deleting, purging, rows
from inference.models import DataSetChunk, DataSetNotice, DataSetPerson, DataSetVersion

KINDS = {"data_set_versions": ("inference_datasetversion", "created_at")}  # for by_month


def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    return purging.purge(tenant_id, subject_id)


# Retention ---------------------------------------------------------------------------------------
def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete versions of that time, and notices; versions with words of held people stay."""
    DataSetNotice.objects.filter(tenant_id=tenant_id, created_at__lt=before).delete()
    held = DataSetPerson.objects.filter(tenant_id=tenant_id, subject_id__in=list(spare))
    old = DataSetVersion.objects.present().filter(tenant_id=tenant_id, created_at__lt=before)
    versions = old.exclude(pk__in=held.values("version")).select_related("data_set")
    return sum(deleting.expire(version) for version in versions)


# Portability -------------------------------------------------------------------------------------
def exported(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    """Yields each row of the person, with the version that has it."""
    own = DataSetChunk.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    for chunk in own.order_by("pk").values("pk", "version_id", "part"):
        version = DataSetVersion.objects.select_related("data_set").get(pk=chunk["version_id"])
        for row in chunks.rows_of(version, chunk["pk"]):
            yield {
                "data_set": version.data_set.name,
                "version": version.number,
                "created_at": version.created_at,
                "part": chunk["part"],
                "text": rows.text_of(row.line),
            }
