"""Erasure of the decisions about a person.

The figures of a decision stay, for the policy's record; they lead to nobody any more. Its texts
and the prompt behind it are under the person's key.
"""

from uuid import UUID

from django.db.models import Q

from audit.erasure.erasers import Evidence
from audit.erasure.own_erasers import key_ids
from inference.models import Decision
from inference.models.decisions.decision import DecisionQuerySet

_NOTHING = {"person": None, "ciphertext": b"", "key_owner": None, "key": None, "key_body": None}


def erase(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Take input, reasons and person out of the decisions about a person."""
    return {"decisions": _about(tenant_id, subject_id).update(**_NOTHING)}


def remaining(tenant_id: UUID, subject_id: UUID) -> int:
    return _about(tenant_id, subject_id).count()


def _about(tenant_id: UUID, subject_id: UUID) -> DecisionQuerySet:
    with_texts = Q(data_key_id__in=key_ids(tenant_id, subject_id)) & ~Q(ciphertext=b"")
    rows = Decision.objects.filter(tenant_id=tenant_id)
    return rows.filter(Q(person=subject_id) | with_texts)
