"""What the erasure of a person does to data sets, and to models that were trained on them.

Rows of the person go. A version that was made from such rows without saying whose they are is
emptied. While a legal hold keeps the words of another of its people it is out of use instead:
nobody reads it, nothing is trained on it, and it is emptied after the hold. Models whose training
saw any of these versions are marked, and so are those made from them. Every owner gets a notice.

Whether a model holds personal data depends on the case (EDPB, Opinion 28/2024, 17 December 2024,
https://www.edpb.europa.eu/our-work-tools/our-documents/opinion-board-art-64/opinion-282024-certain-data-protection-aspects_en).
So a model is marked, and a person decides.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from audit.actions import Action
from audit.erasure.erasers import Evidence
from inference.data_sets import encryption, storage_limit
from inference.data_sets.deleting import held_people
from inference.models import (
    ChunkPart,
    DataSetChunk,
    DataSetNotice,
    DataSetNoticeKind,
    DataSetPerson,
    DataSetState,
    DataSetVersion,
)

BY = "system:erasure"


def purge(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Purge a person from a tenant's data sets, in the open transaction."""
    storage_limit.lock_data_sets(tenant_id)  # else what a job makes of the rows now is missed
    versions = list(containing(tenant_id, subject_id))
    rows = sum(_purge_rows(version, subject_id) for version in versions)
    samples = DataSetChunk.objects.filter(tenant_id=tenant_id, part=ChunkPart.SAMPLES)
    samples.filter(version__parent__in=versions).delete()  # they quote rows that a job left out
    _people(tenant_id, subject_id).delete()
    untraced = [version for version in versions if not version.traces_people]
    held = [version for version in untraced if held_people(version)]
    emptied = [empty(version) for version in untraced if version not in held]
    for version in held:
        hold(version)
    evidence = {"data_set_versions": len(versions), "rows": rows, "emptied": sum(emptied)}
    return {**evidence, "held": len(held)} if held else evidence


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    """Returns what is left of a person in data sets."""
    chunks = DataSetChunk.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return chunks.count() + _people(tenant_id, subject_id).count()


def containing(tenant_id: UUID, subject_id: UUID) -> QuerySet[DataSetVersion]:
    """Returns versions that have, or had before they were deleted, words of the person."""
    of_person = _people(tenant_id, subject_id).values("version")
    of_chunks = DataSetChunk.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    ids = of_person.union(of_chunks.values("version"))
    pks = [row["version"] for row in ids]
    versions = DataSetVersion.objects.filter(tenant_id=tenant_id, pk__in=pks)
    return versions.select_related("data_set").order_by("created_at")


def purged_since(versions: Iterable[UUID], since: datetime) -> bool:
    """Returns whether rows of an erased person have left one of these versions since a moment.

    Whoever got the rows before, to train on them, has marked what came of it then.
    """
    purged = DataSetVersion.objects.filter(pk__in=list(versions), purged_at__gte=since)
    return purged.exists()


def _people(tenant_id: UUID, subject_id: UUID) -> QuerySet[DataSetPerson]:
    return DataSetPerson.objects.filter(tenant_id=tenant_id, subject_id=subject_id)


def _purge_rows(version: DataSetVersion, subject_id: UUID) -> int:
    """Delete the person's rows of a version. Returns their number."""
    chunks = version.chunks.filter(subject_id=subject_id)
    counts = {part: _sum(chunks.filter(part=part), "rows") for part in ChunkPart}
    size, rows = _sum(chunks, "size"), sum(counts.values())
    chunks.delete()
    version.chunks.filter(part=ChunkPart.SAMPLES).delete()  # they may quote the person
    if rows:
        DataSetVersion.objects.filter(pk=version.pk).update(
            rows=F("rows") - counts[ChunkPart.TRAIN],
            held_out_rows=F("held_out_rows") - counts[ChunkPart.HELD_OUT],
            stored_bytes=F("stored_bytes") - size,
            purged_rows=F("purged_rows") + rows,
            purged_at=timezone.now(),
        )
        _tell(version, DataSetNoticeKind.PURGED, rows)
    return rows


def empty(version: DataSetVersion) -> bool:
    """Empty a version whose rows do not say whose they are. Returns False if it has none."""
    rows = _sum(version.chunks.all(), "rows")
    version.chunks.all().delete()
    encryption.destroy_key(version)
    if not rows:
        return False
    DataSetVersion.objects.filter(pk=version.pk).update(
        rows=0,
        held_out_rows=0,
        stored_bytes=0,
        purged_rows=F("purged_rows") + rows,
        purged_at=timezone.now(),
        state=DataSetState.EMPTIED,
    )
    _tell(version, DataSetNoticeKind.EMPTIED, rows)
    return True


def hold(version: DataSetVersion) -> None:
    """Put a version out of use whose rows a legal hold keeps, and which would be emptied."""
    others = DataSetVersion.objects.ready().filter(pk=version.pk)
    if others.update(state=DataSetState.HELD, purged_at=timezone.now()):
        _tell(version, DataSetNoticeKind.HELD, version.rows + version.held_out_rows)


def empty_released(tenant_id: UUID) -> int:
    """Empty the versions that a hold has kept, and none keeps any more. Returns their number."""
    held = DataSetVersion.objects.filter(tenant_id=tenant_id, state=DataSetState.HELD)
    versions = held.select_related("data_set")
    return sum([empty(version) for version in versions if not held_people(version)])


def _tell(version: DataSetVersion, kind: DataSetNoticeKind, rows: int) -> None:
    """Give the owner a notice, and record the act."""
    DataSetNotice.objects.create(
        tenant_id=version.tenant_id,
        version=version,
        kind=kind,
        name=str(version),
        subject_id=version.data_set.subject_id,
        rows=rows,
    )
    version.record(Action.DATA_SET_PURGE, BY, what=str(kind), rows=rows)


def _sum(chunks: QuerySet[DataSetChunk], field: str) -> int:
    return chunks.aggregate(sum=Sum(field))["sum"] or 0
