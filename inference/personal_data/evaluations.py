"""Erasure, retention and export of the evaluations that a person began.

Their answers are requests of the person, which the eraser of texts takes. A report has figures of a
model and no texts: it stays, under the person's pseudonym, for the gates that need it.
"""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from audit.erasure.erasers import Evidence
from audit.exports.portability import Row
from inference.models import Evaluation, EvaluationState
from inference.models.evaluation import EvaluationQuerySet

KINDS = {"evaluations": ("inference_evaluation", "created_at")}  # for data_classes.by_month
_EXPORTED = (
    *("id", "task_set_name", "task_set_number", "kind", "model", "against", "version"),
    *("against_version", "state", "error_code", "report", "created_at", "ended_at"),
)


def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Delete those without a report, also those under way."""
    count, _by_table = _without_report(tenant_id, subject_id).delete()
    return {"evaluations": count}


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    return _without_report(tenant_id, subject_id).count()


def _without_report(tenant_id: UUID, subject_id: UUID) -> EvaluationQuerySet:
    rows = Evaluation.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return rows.exclude(state=EvaluationState.SUCCEEDED)


def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete evaluations that are over, with their reports."""
    old = Evaluation.objects.over().filter(tenant_id=tenant_id, created_at__lt=before)
    count, _by_table = old.exclude(subject_id__in=list(spare)).delete()
    return count


def exported(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    rows = Evaluation.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    yield from rows.order_by("created_at").values(*_EXPORTED)
