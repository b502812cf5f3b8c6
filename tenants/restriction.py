"""Whose data is being erased, or is restricted: the door keeps them out meanwhile.

An SQL condition over the subject's column, for the looks that the hot path takes anyway.
"""

from audit.models import DeletionMode, DeletionState


def restricted(tenant: str, subject: str) -> str:
    """`restricted("t.id", "k.subject_id")`: true from when a request is being executed until it is
    done. What is held is open again, if it is not restricted.
    """
    return f"""exists (
        select from audit_deletionrequest d
        where d.tenant_id = {tenant} and d.subject_id = {subject}
          and d.state not in ('{DeletionState.DONE}', '{DeletionState.REFUSED}')
          and (d.state = '{DeletionState.RUNNING}'
               or d.mode = '{DeletionMode.RESTRICT}' and d.started_at is not null))"""
