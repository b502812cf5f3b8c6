"""Puts on record how a request ended, and says whether it is this end that is there.

A worker that was cut off may come back with an end of a request that another one has run again. Who
comes second must not give out an answer that is not the one on record.
"""

from datetime import datetime
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import Error

from audit.trail.fair_line import Row
from audit.trail.group_commit import GroupCommit
from inference.models import Usage


async def settles(commits: GroupCommit, row: Row) -> bool:
    """False where another end is on record, or nobody can tell. Raises StoreUnavailable."""
    at: datetime | None = await commits.write(row)
    if at is None:  # it was settled before: perhaps by us, and only the answer was lost
        at = await database_sync_to_async(_settled_at)(UUID(row["id"]))
    return at == datetime.fromisoformat(row["at"])


def _settled_at(request_id: UUID) -> datetime | None:
    found = Usage.objects.filter(pk=request_id).values_list("created_at", flat=True)
    try:
        return found.first()
    except Error:
        return None
