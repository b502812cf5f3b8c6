"""Finds out whether an `Idempotency-Key` is new, as most are, for little work.

A transaction of the ORM in a thread takes a dozen times as much processor time. It is left to the
keys that have been used (inference/api/idempotency.py, inference/api/decision_flow/earlier.py).
"""

import asyncio
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

import psycopg

from inference.intake.errors import OutOfService
from inference.intake.idempotency_claim import Claim
from infrastructure.postgres.resilient_connection import Connection, ResilientConnection
from tenants.caller import Caller

GROUP = 200  # keys of one query
# The owner of a key is the oldest of the API keys that were rotated into each other, as for
# inference/api/idempotency.py; a person who is signed in owns theirs.
_LOOK_UP = """
    with asked as (
        select * from unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::bytea[])
                 with ordinality as a(tenant_id, api_key_id, subject_id, key, place)),
    owned as (
        select a.*, coalesce(
            (select k.id from tenants_apikey k
             where k.id = newest.id or k.replaced_by_id = newest.id
             order by k.created_at, k.id limit 1),
            a.api_key_id, a.subject_id) as owner
        from asked a left join lateral (
            select coalesce(replaced_by_id, id) as id from tenants_apikey where id = a.api_key_id
        ) newest on true)
    select owner, exists (select from inference_idempotencykey i
                          where i.tenant_id = o.tenant_id and i.owner = o.owner and i.key = o.key)
               or exists (select from inference_decision d
                          where d.tenant_id = o.tenant_id and d.key_owner = o.owner
                            and d.key = o.key)
    from owned o order by place"""


class _Waiting(NamedTuple):
    caller: Caller
    key: bytes
    done: "asyncio.Future[tuple[UUID, bool]]"

    @property
    def row(self) -> tuple[UUID, UUID | None, UUID, bytes]:
        caller = self.caller
        return caller.tenant_id, caller.api_key_id, caller.subject_id, self.key


class KeyLookup:
    """Asks PostgreSQL over a connection of its own, once for all that wait."""

    def __init__(self, dsn: str) -> None:
        self._connection = ResilientConnection(dsn, first=("set enable_seqscan to off",))
        self._waiting: list[_Waiting] = []
        self._asking: asyncio.Task[None] | None = None

    async def new(self, caller: Caller, claim: Claim) -> Claim | None:
        """Returns the claim with its owner; None if the key has been used. Raises OutOfService."""
        done: asyncio.Future[tuple[UUID, bool]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(caller, claim.key, done))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        owner, is_used = await done
        return None if is_used else replace(claim, owner=owner)

    async def close(self) -> None:
        if self._asking:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._connection.close()

    async def _ask_all(self) -> None:
        try:
            while group := self._waiting[:GROUP]:
                del self._waiting[:GROUP]
                await self._answer([entry for entry in group if not entry.done.done()])
        finally:
            self._asking = None

    async def _answer(self, group: list[_Waiting]) -> None:
        columns = [list(column) for column in zip(*(entry.row for entry in group), strict=True)]

        async def query(connection: Connection) -> list[tuple[UUID, bool]]:
            cursor = await connection.execute(_LOOK_UP, columns, prepare=True)
            return await cursor.fetchall()

        try:
            rows = await self._connection.ask(query) if group else []
        except (psycopg.Error, OSError) as problem:
            await self._connection.close()
            for entry in group:
                if not entry.done.done():
                    entry.done.set_exception(OutOfService(str(problem)))
        else:
            for entry, row in zip(group, rows, strict=True):
                if not entry.done.done():
                    entry.done.set_result(row)
