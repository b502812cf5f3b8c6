"""Erasure, retention and export of a person's jobs, with their events, metrics and checkpoints.

Files of checkpoints go first: their store may be away (StoreError), and then the rows stay.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from audit.erasure.erasers import Evidence
from audit.erasure.own_erasers import key_ids
from audit.exports.portability import Row
from inference.jobs import job_checkpoint_files, texts
from inference.models import Job, JobCheckpoint, JobEvent, JobMetric, ModelVersion
from inference.models.job import OVER, JobQuerySet, WrongState

BY = "system:erasure"
ROWS = 100  # deleted in one step, with all that belongs to them
KINDS = {"jobs": ("inference_job", "created_at")}  # for data_classes.by_month


def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Delete them. The eraser of requests has ended the work of those under way.

    What others trained on the person's files is marked, and what still trains on them fails.
    """
    marked = [_mark(job) for job in _over_files_of(tenant_id, subject_id)]
    return {"jobs": _delete(_of_subject(tenant_id, subject_id)), "marked": sum(marked)}


def _over_files_of(tenant_id: UUID, subject_id: UUID) -> JobQuerySet:
    return Job.objects.filter(tenant_id=tenant_id, data_subjects__contains=[str(subject_id)])


def _mark(job: Job) -> bool:
    """Mark the version that the job made. Returns whether there is one."""
    with suppress(WrongState):
        job.fail("erased", [{"code": "erased", "message": "its data has been erased"}])
    made = job.result_version_id
    version = ModelVersion.objects.filter(pk=made).first() if made else None
    if version:
        version.mark("trained on files of a person who was erased", by=BY)
    return version is not None


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    jobs = _of_subject(tenant_id, subject_id)
    parts = (JobEvent, JobMetric, JobCheckpoint)
    rows = sum(part.objects.filter(job__in=jobs).count() for part in parts)
    reading = _over_files_of(tenant_id, subject_id).exclude(state__in=OVER)
    return jobs.count() + rows + reading.count()


def _of_subject(tenant_id: UUID, subject_id: UUID) -> JobQuerySet:
    encrypted = Q(data_key_id__in=key_ids(tenant_id, subject_id))
    return Job.objects.filter(encrypted | Q(subject_id=subject_id), tenant_id=tenant_id)


def _delete(jobs: JobQuerySet) -> int:
    count = 0
    while rows := list(jobs[:ROWS]):
        for job in rows:
            job_checkpoint_files.forget(job)
            _keep_lineage(job)
        Job.objects.filter(pk__in=[job.pk for job in rows]).delete()
        count += len(rows)
    return count


def _keep_lineage(job: Job) -> None:
    """Have the versions that a job made know whose files it read."""
    if job.data_subjects:
        for version in ModelVersion.objects.of(job.tenant_id).filter(made_by_job=job.pk):
            version.note_data_subjects(job.data_subjects)


def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete jobs that had ended by then, but for those that tell whose files made a model."""
    old = Job.objects.filter(tenant_id=tenant_id, ended_at__lt=before, state__in=OVER)
    made = ModelVersion.objects.of(tenant_id).present().exclude(made_by_job=None)
    lineage = Q(pk__in=made.values("made_by_job")) & ~Q(data_subjects=[])
    return _delete(old.exclude(lineage).exclude(subject_id__in=list(spare)))


_EXPORTED = ("kind", "state", "reason", "base", "model", "parameters", "seed", "done", "of")
_TEXTS = ("suffix", "metadata")
_FIGURES = ("tokens", "gpu_ms", "cost", "result", "created_at", "started_at", "ended_at")


def exported(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    """Yields a row for each job of the person, with the texts that they gave it."""
    jobs = Job.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    for job in jobs.order_by("created_at").iterator():
        fields = {name: getattr(job, name) for name in (*_EXPORTED, *_FIGURES)}
        own = texts.known(job)
        yield {"id": job.public_id, **fields, **{name: own.get(name) for name in _TEXTS}}
