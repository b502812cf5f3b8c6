"""Erasure, retention and export of people's words in data sets, and marks on trained models."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from audit.erasure.erasers import Evidence
from audit.exports.portability import Row
from inference.data_sets import chunks, deleting, purging, rows
from inference.model_registry import marking
from inference.models import (
    DataSet,
    DataSetChunk,
    DataSetNotice,
    DataSetNoticeKind,
    DataSetPerson,
    DataSetState,
    DataSetVersion,
    Job,
    ModelDataSet,
    ModelVersion,
)

KINDS = {"data_set_versions": ("inference_datasetversion", "created_at")}  # for by_month
REASON = "its training data had words of a person who was erased since"


# Erasure -----------------------------------------------------------------------------------------
def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Purge the data sets, mark the models that were trained on the person's words, tell owners."""
    versions = purging.containing(tenant_id, subject_id)
    pks = list(versions.values_list("pk", flat=True))
    evidence = purging.purge(tenant_id, subject_id)
    marked = [
        *marking.mark_trained_on(tenant_id, pks, REASON, by=purging.BY),
        *marking.mark(_of_files(tenant_id, subject_id), REASON, by=purging.BY),
    ]
    for version in marked:
        _tell(version)
    return {**evidence, "models": len(marked)}


def _of_files(tenant_id: UUID, subject_id: UUID) -> list[UUID]:
    """Returns versions of models that jobs made from files of the person, without a data set."""
    jobs = Job.objects.filter(tenant_id=tenant_id, data_subjects__contains=[str(subject_id)])
    versions = ModelVersion.objects.of(tenant_id)
    made = versions.filter(made_by_job__in=jobs.values("pk"))
    return list((made | versions.made_of_files_of(subject_id)).values_list("pk", flat=True))


def _tell(version: ModelVersion) -> None:
    """Give a notice to the owner of a model: whoever ordered the job that made it."""
    assert version.tenant_id
    job = Job.objects.filter(pk__in=[version.made_by_job]).first()
    DataSetNotice.objects.create(
        tenant_id=version.tenant_id,
        model_version_id=version.pk,
        kind=DataSetNoticeKind.MODEL,
        name=str(version),
        subject_id=job.subject_id if job else None,
    )


# Retention ---------------------------------------------------------------------------------------
def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete versions of that time, and notices; versions with words of held people stay.

    Versions of any time are emptied that only a legal hold has kept from it.
    """
    emptied = purging.empty_released(tenant_id)
    DataSetNotice.objects.filter(tenant_id=tenant_id, created_at__lt=before).delete()
    held = DataSetPerson.objects.filter(tenant_id=tenant_id, subject_id__in=list(spare))
    old = DataSetVersion.objects.filter(tenant_id=tenant_id, created_at__lt=before)
    old = old.exclude(pk__in=held.values("version"))
    versions = DataSetVersion.objects.present() & old
    expired = sum(deleting.expire(each) for each in versions.select_related("data_set"))
    _forget_lineage(tenant_id, before)
    return expired + emptied


def _forget_lineage(tenant_id: UUID, before: datetime) -> None:
    """Delete rows of deleted versions on which no model was trained that is still there."""
    deleted = DataSetVersion.objects.filter(tenant_id=tenant_id, state=DataSetState.DELETED)
    models = ModelVersion.objects.of(tenant_id).present()
    trained = ModelDataSet.objects.filter(tenant_id=tenant_id, version__in=models)
    used = trained.values("data_set_version_id")
    deleted.filter(created_at__lt=before).exclude(pk__in=used).delete()
    gone = DataSet.objects.filter(tenant_id=tenant_id, deleted_at__lt=before)
    gone.filter(versions=None).delete()


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
