"""Settles a request and tells whether this settlement is the recorded one.

A worker that was cut off may settle a request that another one has run again. The second of them
must not deliver an answer that differs from the record.
"""

from datetime import datetime
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import Error

from audit.trail.commit_queue import Row
from audit.trail.group_commit import GroupCommit
from inference.models import Usage


async def settle(commits: GroupCommit, row: Row) -> bool:
    """Settle a request. Returns False if another settlement is recorded, or in doubt.

    Raises StoreUnavailable.
    """
    at: datetime | None = await commits.write(row)
    if at is None:  # it was settled before, perhaps by this row, whose answer was lost
        at = await database_sync_to_async(_settled_at)(UUID(row["id"]))
    return at == datetime.fromisoformat(row["at"])


def _settled_at(request_id: UUID) -> datetime | None:
    times = Usage.objects.filter(pk=request_id).values_list("created_at", flat=True)
    try:
        return times.first()
    except Error:
        return None
