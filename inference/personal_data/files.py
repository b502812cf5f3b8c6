"""Erasure and export of a person's files and batches."""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from audit.erasure.erasers import Evidence
from audit.erasure.own_erasers import key_ids
from audit.exports.portability import Row
from audit.keys.keyring import Unreadable
from inference.batch.encryption import known_metadata, known_name
from inference.batch.file_store import FileReader
from inference.models import Batch, BatchLine, File, FileChunk, Job
from inference.models.batch import OVER

ROWS = 100  # rows of either deleted in one step, with the chunks of files and lines of batches


# Erasure -----------------------------------------------------------------------------------------
def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Delete ROWS of either, at most.

    A batch under way ends with its row; the eraser of requests ends its lines.
    """
    batches = _delete_some(_of_subject(Batch.objects.all(), tenant_id, subject_id))
    files = _delete_some(_of_subject(File.objects.all(), tenant_id, subject_id))
    return {"batches": batches, "files": files}


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    batches = _of_subject(Batch.objects.all(), tenant_id, subject_id)
    files = _of_subject(File.objects.all(), tenant_id, subject_id)
    lines = BatchLine.objects.filter(batch__in=batches)
    chunks = FileChunk.objects.filter(file__in=files)
    return sum(rows.count() for rows in (batches, lines, files, chunks))


def _of_subject(rows: QuerySet[Model], tenant_id: UUID, subject_id: UUID) -> QuerySet[Model]:
    encrypted = Q(data_key_id__in=key_ids(tenant_id, subject_id))
    return rows.filter(encrypted | Q(subject_id=subject_id), tenant_id=tenant_id)


def _delete_some(rows: QuerySet[Model]) -> int:
    pks = list(rows.values_list("pk", flat=True)[:ROWS])
    rows.model._base_manager.filter(pk__in=pks).delete()
    return len(pks)


# Retention ---------------------------------------------------------------------------------------
KINDS = {"files": ("inference_file", "created_at")}  # for data_classes.by_month


def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete ended batches with the files of their time; what batches and jobs still read stays.

    ROWS of either go in one call.
    """
    old = Q(tenant_id=tenant_id, created_at__lt=before) & ~Q(subject_id__in=list(spare))
    running = Batch.objects.filter(tenant_id=tenant_id).under_way()
    of_batches = Q(pk__in=running.values("input_file_id"))
    of_jobs = Q(pk__in=Job.objects.filter(tenant_id=tenant_id).unfinished().file_ids())
    files = File.objects.filter(old).exclude(of_batches | of_jobs)
    return _delete_some(Batch.objects.filter(old, state__in=OVER)) + _delete_some(files)


# Portability -------------------------------------------------------------------------------------
def files(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    """Yields a row for each piece of a file: `part` counts from 0."""
    rows = File.objects.whole().filter(tenant_id=tenant_id, subject_id=subject_id)
    for file in rows.order_by("created_at"):
        for part, text in enumerate(_texts(file)):
            yield {
                "id": file.public_id,
                "name": known_name(file),
                "purpose": file.purpose,
                "created_at": file.created_at,
                "bytes": file.size,
                "part": part,
                "text": text,
            }


def _texts(file: File) -> Iterator[str]:
    """Yields at least one text."""
    decode = getincrementaldecoder("utf-8")("replace").decode
    if not file.size:
        yield ""
    try:
        for piece in FileReader(file).pieces():
            yield decode(piece)
    except Unreadable:
        yield ""


_EXPORTED = ("state", "endpoint", "total", "completed", "failed", "created_at", "ended_at")


def batches(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    rows = Batch.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    for batch in rows.order_by("created_at").iterator():
        yield {
            "id": batch.public_id,
            "metadata": known_metadata(batch),
            **{name: getattr(batch, name) for name in _EXPORTED},
        }
