"""Whose data is being erased, or is restricted: the authenticator keeps them out
meanwhile, and in the console and the management API they change nothing.
"""

from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.models import DeletionMode, DeletionRequest, DeletionState

SAID = _("Your data is being erased or is restricted: nothing of it is processed.")
_OVER = (DeletionState.DONE, DeletionState.REFUSED)


def is_restricted(tenant_id: UUID, subject_id: UUID) -> bool:
    begun = Q(state=DeletionState.RUNNING)
    kept_shut = Q(mode=DeletionMode.RESTRICT, started_at__isnull=False)
    theirs = DeletionRequest.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return theirs.exclude(state__in=_OVER).filter(begun | kept_shut).exists()


def restricted(tenant: str, subject: str) -> str:
    """The same as an SQL condition, for the looks that the hot path takes anyway.

    `restricted("t.id", "k.subject_id")`: true from when a request is being executed until it is
    done. What is held is open again, if it is not restricted.
    """
    return f"""exists (
        select from audit_deletionrequest d
        where d.tenant_id = {tenant} and d.subject_id = {subject}
          and d.state not in ('{DeletionState.DONE}', '{DeletionState.REFUSED}')
          and (d.state = '{DeletionState.RUNNING}'
               or d.mode = '{DeletionMode.RESTRICT}' and d.started_at is not null))"""
