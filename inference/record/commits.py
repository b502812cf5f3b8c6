"""The group commits of a process that takes requests.

CLAIMED is RECEIVED for requests with an idempotency key: only the one that gets its key is
received. Both are one commit, so a key always belongs to a recorded request, whatever dies. A free
key (`claim_instead_of`: its last request came to nothing) is taken over from exactly that request:
of two that try, the second finds another one there.
"""

from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from audit.trail.commit_queue import Row
from audit.trail.group_commit import GroupCommit
from inference.record import sql_statements
from inference.record.decided import DECIDED
from inference.record.sql_statements import RECEIVED, RECEIVED_WITH_TEXTS, SETTLED
from infrastructure.postgres.resilient_connection import Connection
from tenants.models.people import newcomer

_INPUT = "with asked as (select %s::jsonb as rows),"
_INPUT_WITH_TEXTS = "with asked as (select %s::jsonb as rows, %b::bytea[] as texts),"
# Inserted in one order, so that two groups with the same keys cannot deadlock. Keys that are taken
# over are looked up row by row: for a join PostgreSQL reads all keys, more with each request.
_CLAIMS = """
    claims as (select x.* from given, jsonb_to_recordset(given.rows) as x(
        id uuid, at timestamptz, tenant_id uuid, claim_owner uuid, claim_key text,
        claim_body text, claim_instead_of uuid)),
    fresh as (
        insert into inference_idempotencykey
            (tenant_id, owner, key, body, completion_id, created_at)
        select tenant_id, claim_owner, decode(claim_key, 'hex'), decode(claim_body, 'hex'), id, at
        from claims where claim_instead_of is null order by tenant_id, claim_owner, claim_key
        on conflict do nothing returning completion_id),
    taken_over as (
        update inference_idempotencykey k
        set body = decode(c.claim_body, 'hex'), completion_id = c.id, created_at = c.at
        from claims c
        where k.id = any(array(
                select (select o.id from inference_idempotencykey o
                        where o.tenant_id = n.tenant_id and o.owner = n.claim_owner
                          and o.key = decode(n.claim_key, 'hex'))
                from claims n where n.claim_instead_of is not null))
          and k.tenant_id = c.tenant_id and k.owner = c.claim_owner
          and k.key = decode(c.claim_key, 'hex') and k.completion_id = c.claim_instead_of
        returning k.completion_id),
    won as materialized (
        select completion_id from fresh union all select completion_id from taken_over),
    asked as (
        select coalesce(jsonb_agg(e.told order by e.n), '[]') as rows{texts}
        from given, jsonb_array_elements(given.rows) with ordinality as e(told, n)
        where (e.told->>'id')::uuid in (select completion_id from won)),"""
# A row for each that won, with the quotas' result as in RECEIVED, an empty list for none.
_RESULT = """
    select won.completion_id,
           jsonb_build_object('taken', coalesce(r.taken, '[]'), 'refused', r.refused)
    from won left join reserved r on r.request = won.completion_id"""
RECORD_TENANT_BYTES = 64 * 1024 * 1024
SETTLE_PATIENCE_S = 30


def _claiming(statement: str, source: str, texts: str) -> str:
    head, separator, rest = statement.partition(source)
    assert separator, head
    body, _select, _ = rest.rpartition("\n    select request, ")
    return source.replace("asked", "given", 1) + _CLAIMS.replace("{texts}", texts) + body + _RESULT


CLAIMED = _claiming(RECEIVED, _INPUT, "")
CLAIMED_WITH_TEXTS = _claiming(
    RECEIVED_WITH_TEXTS, _INPUT_WITH_TEXTS, ", (select texts from given) as texts"
)


# Both in one commit ------------------------------------------------------------------------------
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
    """Records and settles a request whose answer is there: no crash can come between.

    Its row has `received` and `settled`, the parameters of the two statements. A pipeline is one
    transaction up to its end, without BEGIN and COMMIT, which cost half a millisecond more. Its
    result is that of RECEIVED.
    """

    async def _execute(self, connection: Connection, rows: list[Row]) -> dict[UUID, Any]:
        received, settled = (_json(rows, name) for name in ("received", "settled"))
        async with connection.pipeline():
            cursor = await connection.execute(RECEIVED, received, prepare=True)
            await connection.execute(_SETTLED, settled, prepare=True)
        return dict(await cursor.fetchall())


def _json(rows: list[Row], name: str) -> tuple[str]:
    return (orjson.dumps([row[name] for row in rows]).decode(),)


class Commits:
    """Each connects with its first row.

    `received` records requests, `claimed` those with an idempotency key, `settled` their ends.
    `recorded_and_settled` does both for a request whose answer is there: its rows are bills too.
    `decided` records decisions, `people` those who are decided about for the first time.
    """

    def __init__(self, dsn: str) -> None:
        recording: dict[str, Any] = {
            "patience_s": float(settings.FAILOVER_WAIT_S),
            "tenant_bytes": RECORD_TENANT_BYTES,
        }
        commit = partial(GroupCommit, dsn)
        self.received = commit(
            sql_statements.RECEIVED,
            with_texts=sql_statements.RECEIVED_WITH_TEXTS,
            what="received",
            **recording,
        )
        self.claimed = commit(CLAIMED, with_texts=CLAIMED_WITH_TEXTS, what="claimed", **recording)
        self.settled = commit(sql_statements.SETTLED, patience_s=SETTLE_PATIENCE_S, what="settled")
        self.recorded_and_settled = RecordedAndSettled(
            dsn,
            sql_statements.RECEIVED,
            doubt_s=SETTLE_PATIENCE_S,
            what="answered_at_once",
            **recording,
        )
        self.decided = commit(DECIDED, what="decided", **recording)
        self.people = commit(newcomer.STORE, what="people", **recording)

    async def close(self) -> None:
        requests = self.received, self.claimed, self.recorded_and_settled, self.settled
        for commits in (*requests, self.decided, self.people):
            await commits.close()
