"""People whose data is being erased or is restricted.

The authenticator refuses them, and in the console and the management API they can change nothing.
"""

from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.models import DeletionMode, DeletionRequest, DeletionState

SAID = _("Your data is being erased or is restricted: nothing of it is processed.")
_OVER = (DeletionState.DONE, DeletionState.REFUSED)


def is_restricted(tenant_id: UUID, subject_id: UUID) -> bool:
    is_running = Q(state=DeletionState.RUNNING)
    is_restriction = Q(mode=DeletionMode.RESTRICT, started_at__isnull=False)
    requests = DeletionRequest.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return requests.exclude(state__in=_OVER).filter(is_running | is_restriction).exists()


def restricted(tenant: str, subject: str) -> str:
    """Returns the same condition in SQL, for queries that the hot path makes anyway.

    `restricted("t.id", "k.subject_id")` is true from the start of a request's execution to its end.
    It is false while a hold stops an erasure.
    """
    return f"""exists (
        select from audit_deletionrequest d
        where d.tenant_id = {tenant} and d.subject_id = {subject}
          and d.state not in ('{DeletionState.DONE}', '{DeletionState.REFUSED}')
          and (d.state = '{DeletionState.RUNNING}'
               or d.mode = '{DeletionMode.RESTRICT}' and d.started_at is not null))"""
