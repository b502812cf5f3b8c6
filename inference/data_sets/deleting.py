"""Deletes data sets and versions: rows and keys go, the rows of lineage stay.

A legal hold over the tenant, or over somebody whose words are in it, keeps a version.
"""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from audit.retention import legal_hold
from audit.retention.legal_hold import OnHold
from inference.data_sets import encryption
from inference.models import DataSet, DataSetPerson, DataSetState, DataSetVersion
from tenants.models.model_changes import lock

__all__ = ["OnHold", "delete", "delete_version", "held_people"]


def delete(data_set: DataSet, *, by: str) -> None:
    """Delete a data set with all its versions. Raises OnHold."""
    with transaction.atomic():
        lock(data_set)  # no version is added meanwhile
        for version in data_set.versions.present():
            _refuse_if_held(version)
            _delete_rows(version)
        data_set.record(Action.DATA_SET_DELETE, by, versions=data_set.latest)
        data_set.deleted_at = timezone.now()
        data_set.save(update_fields=["deleted_at"])


def delete_version(version: DataSetVersion, *, by: str) -> None:
    """Delete a version. Raises OnHold."""
    with transaction.atomic():
        _refuse_if_held(version)
        _delete_rows(version)
        version.record(Action.DATA_SET_DELETE, by)


def expire(version: DataSetVersion) -> int:
    """Delete a version whose retention has ended; its caller spares what is held. Returns 1."""
    with transaction.atomic():
        _delete_rows(version)
    return 1


def _delete_rows(version: DataSetVersion) -> None:
    version.chunks.all().delete()
    encryption.destroy_key(version)
    gone = {"state": DataSetState.DELETED, "stored_bytes": 0, "report": {}, "selection": None}
    DataSetVersion.objects.filter(pk=version.pk).update(**gone, source_file_id=None)
    version.refresh_from_db()


def _refuse_if_held(version: DataSetVersion) -> None:
    legal_hold.refuse_if_held(version.tenant_id, version.id)
    for hold in held_people(version):
        legal_hold.refuse_if_held(version.tenant_id, hold)


def held_people(version: DataSetVersion) -> list[UUID]:
    """Returns those of its people whose data a legal hold keeps."""
    people = DataSetPerson.objects.filter(version=version).values("subject_id")
    holds = legal_hold.holding().filter(tenant_id=version.tenant_id, subject_id__in=people)
    return [hold.subject_id for hold in holds if hold.subject_id]
