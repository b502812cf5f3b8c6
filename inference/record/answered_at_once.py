"""Both moments of a request whose answer is there when it comes in: one commit, and one round trip.

The two statements of statements.py, one after the other in a transaction: between receipt and
settlement nobody can die. A row has `received` and `settled`, which are theirs. What a pipeline
sends up to its end is one transaction without BEGIN and COMMIT, which cost half a millisecond more.
"""

from typing import Any
from uuid import UUID

import orjson

from audit.trail.fair_line import Row
from audit.trail.group_commit import GroupCommit
from inference.record.statements import RECEIVED, SETTLED
from infrastructure.postgres.resilient_connection import Connection

# What the quotas refused is not there, and does not end. Each is looked up by its id: `exists`
# would be a join, for which PostgreSQL reads a whole index, longer with each request there was.
_THOSE_RECEIVED = """
    select coalesce(jsonb_agg(r.row), '[]') as rows from jsonb_array_elements(%s::jsonb) r(row)
    where (select true from inference_completion c where c.id = (r.row ->> 'id')::uuid)"""
_SETTLED = SETTLED.replace("select %s::jsonb as rows", _THOSE_RECEIVED)


def row(received: Row, settled: Row) -> Row:
    """Its texts stand beside them for what the line counts by: fair_line.py."""
    about = {name: received[name] for name in ("id", "tenant_id", "request")}
    return {**about, "response": settled["response"], "received": received, "settled": settled}


class AnsweredAtOnce(GroupCommit):
    """Says what RECEIVED says."""

    async def _execute(self, connection: Connection, rows: list[Row]) -> dict[UUID, Any]:
        received, settled = (_json(rows, name) for name in ("received", "settled"))
        async with connection.pipeline():
            told = await connection.execute(RECEIVED, received, prepare=True)
            await connection.execute(_SETTLED, settled, prepare=True)
        return dict(await told.fetchall())


def _json(rows: list[Row], name: str) -> tuple[str]:
    return (orjson.dumps([row[name] for row in rows]).decode(),)
