"""Records and settles a request whose answer is there already: one commit, one round trip.

The two statements of statements.py run in one transaction, so that no crash can come between
receipt and settlement. A row has `received` and `settled`, their parameters. A pipeline is one
transaction up to its end, without BEGIN and COMMIT, which cost half a millisecond more.
"""

from typing import Any
from uuid import UUID

import orjson

from audit.trail.commit_queue import Row
from audit.trail.group_commit import GroupCommit
from inference.record.statements import RECEIVED, SETTLED
from infrastructure.postgres.resilient_connection import Connection

# Requests that the quotas refused have no row, and do not end. Each is looked up by its id:
# `exists` would be a join, for which PostgreSQL reads a whole index that grows with every request.
_THOSE_RECEIVED = """
    select coalesce(jsonb_agg(r.row), '[]') as rows from jsonb_array_elements(%s::jsonb) r(row)
    where (select true from inference_completion c where c.id = (r.row ->> 'id')::uuid)"""
_SETTLED = SETTLED.replace("select %s::jsonb as rows", _THOSE_RECEIVED)


def row(received: Row, settled: Row) -> Row:
    """Returns a row of both, with the fields that the line counts by: fair_line.py."""
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
