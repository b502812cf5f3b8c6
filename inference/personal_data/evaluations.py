"""Erasure, retention and export of the evaluations that a person began, of models and of policies.

Their answers are requests of the person, which the eraser of texts takes. A report has figures and
no texts: it stays, under the person's pseudonym, for the gates and reviews that need it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from audit.erasure.erasers import Evidence
from audit.exports.portability import Row
from inference.models import Evaluation, EvaluationState, PolicyEvaluation

KINDS = {  # for data_classes.by_month
    "evaluations": ("inference_evaluation", "created_at"),
    "policy_evaluations": ("inference_policyevaluation", "created_at"),
}
_EXPORTED = (
    *("id", "task_set_name", "task_set_number", "kind", "model", "against", "version"),
    *("against_version", "state", "error_code", "report", "created_at", "ended_at"),
)
_OF_POLICIES = (
    *("id", "version__policy__name", "version__number", "purpose", "state", "error_code"),
    *("total", "report", "written", "created_at", "ended_at"),
)


def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Delete those without a report, also those under way."""
    parts = _without_report(tenant_id, subject_id)
    return {name: rows.delete()[0] for name, rows in parts.items()}


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    return sum(rows.count() for rows in _without_report(tenant_id, subject_id).values())


def _without_report(tenant_id: UUID, subject_id: UUID) -> dict[str, QuerySet[Any]]:
    whose = {"tenant_id": tenant_id, "subject_id": subject_id}
    done = EvaluationState.SUCCEEDED
    return {
        "evaluations": Evaluation.objects.filter(**whose).exclude(state=done),
        "policy_evaluations": PolicyEvaluation.objects.filter(**whose).exclude(state=done),
    }


def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete evaluations that are over, with their reports.

    One of a policy has rows about people until it is over: it goes in any case, though its engine
    has been away, or its limits without room, ever since.
    """
    old = {"tenant_id": tenant_id, "created_at__lt": before}
    gone = (Evaluation.objects.over().filter(**old), PolicyEvaluation.objects.filter(**old))
    return sum(rows.exclude(subject_id__in=list(spare)).delete()[0] for rows in gone)


def exported(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    whose = {"tenant_id": tenant_id, "subject_id": subject_id}
    yield from Evaluation.objects.filter(**whose).order_by("created_at").values(*_EXPORTED)
    rows = PolicyEvaluation.objects.filter(**whose).order_by("created_at")
    yield from rows.values(*_OF_POLICIES)
