"""Settles a request and tells whether this settlement is the recorded one.

A request whose answer is there already is recorded and settled in one commit and one round trip
(RecordedAndSettled): no crash can come between. Its row has `received` and `settled`, the
parameters of the two statements. A pipeline is one transaction up to its end, without BEGIN and
COMMIT, which cost half a millisecond more.

A worker that was cut off may settle a request that another one has run again. The second of them
must not deliver an answer that differs from the record.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from channels.db import database_sync_to_async
from django.db import Error

from audit.trail.commit_queue import Row
from audit.trail.group_commit import GroupCommit
from inference.models import Usage
from inference.record.statements import RECEIVED, SETTLED
from infrastructure.postgres.resilient_connection import Connection

# Requests that the quotas refused have no row, and do not end. Each is looked up by its id:
# `exists` would be a join, for which PostgreSQL reads a whole index that grows with every request.
_THOSE_RECEIVED = """
    select coalesce(jsonb_agg(r.row), '[]') as rows from jsonb_array_elements(%s::jsonb) r(row)
    where (select true from inference_completion c where c.id = (r.row ->> 'id')::uuid)"""
_SETTLED = SETTLED.replace("select %s::jsonb as rows", _THOSE_RECEIVED)


def row_of_both(received: Row, settled: Row) -> Row:
    """Returns a row of both, with the fields that audit/trail/commit_queue.py counts by."""
    about = {name: received[name] for name in ("id", "tenant_id", "request")}
    return {**about, "response": settled["response"], "received": received, "settled": settled}


class RecordedAndSettled(GroupCommit):
    """Commits both. Its result is that of RECEIVED."""

    async def _execute(self, connection: Connection, rows: list[Row]) -> dict[UUID, Any]:
        received, settled = (_json(rows, name) for name in ("received", "settled"))
        async with connection.pipeline():
            cursor = await connection.execute(RECEIVED, received, prepare=True)
            await connection.execute(_SETTLED, settled, prepare=True)
        return dict(await cursor.fetchall())


def _json(rows: list[Row], name: str) -> tuple[str]:
    return (orjson.dumps([row[name] for row in rows]).decode(),)


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
