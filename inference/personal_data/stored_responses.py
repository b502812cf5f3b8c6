"""Erasure, retention and export of stored responses. Their texts are those of their requests."""

from collections.abc import Iterator
from uuid import UUID

from audit.erasure.erasers import Evidence, some
from audit.exports.portability import Row
from inference.models import StoredResponse
from inference.models.stored_response import StoredResponseQuerySet
from inference.stored_responses.record import recorded

ROWS = 10_000  # erased in one step
KINDS = {"responses": ("inference_storedresponse", "created_at")}  # for data_classes.by_month


def _of_subject(tenant_id: UUID, subject_id: UUID) -> StoredResponseQuerySet:
    return StoredResponse.objects.filter(tenant_id=tenant_id, subject_id=subject_id)


def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    count, _by_table = some(_of_subject(tenant_id, subject_id), ROWS).delete()
    return {"responses": count}


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    return _of_subject(tenant_id, subject_id).count()


def exported(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    """Yields a row for each. The answer is in the row of the request with the same id."""
    for row in _of_subject(tenant_id, subject_id).order_by("created_at").iterator():
        response = recorded(row)
        yield {
            "id": row.public_id,
            "request": row.pk,
            "background": row.background,
            "created_at": row.created_at,
            "deleted_at": row.deleted_at,
            "input": response and response.items,
            "fields": response and response.head,
        }
