"""The two durable moments of a request, each in one statement for all that wait."""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RESERVED = 300  # tokens that a request may cost
# Both: ids, tenants, digests, encrypted bodies; the second has tokens, too.
RECEIVED = f"""
    with given as (
        select * from unnest(%b::uuid[], %b::int[], %b::bytea[], %b::bytea[])
            as g(id, tenant, digest, body)),
    requests as (
        insert into floor_request (id, tenant, body) select id, tenant, body from given),
    events as (
        insert into floor_event (id, tenant, kind, digest)
        select id, tenant, 'received', digest from given)
    update floor_budget b set reserved = reserved + {RESERVED} * n.requests
    from (select tenant, count(*) as requests from given group by tenant) n
    where b.tenant = n.tenant"""
SETTLED = f"""
    with given as (
        select * from unnest(%b::uuid[], %b::int[], %b::bytea[], %b::bytea[], %b::int[])
            as g(id, tenant, digest, body, tokens)),
    answers as (
        insert into floor_answer (id, tenant, tokens, body)
        select id, tenant, tokens, body from given),
    events as (
        insert into floor_event (id, tenant, kind, digest)
        select id, tenant, 'settled', digest from given)
    update floor_budget b
    set reserved = reserved - {RESERVED} * n.requests, spent = spent + n.tokens
    from (select tenant, count(*) as requests, sum(tokens) as tokens from given group by tenant) n
    where b.tenant = n.tenant"""
_CIPHER = AESGCM(bytes(32))


def new_id() -> UUID:
    """Returns an id in the order of time, which index pages like."""
    return UUID(int=time.time_ns() << 64 | int.from_bytes(os.urandom(8)))


def encrypted(text: bytes, of: UUID) -> bytes:
    nonce = os.urandom(12)
    return nonce + _CIPHER.encrypt(nonce, text, of.bytes)


class GroupedRows:
    """Rows that wait go in one statement; the next begins once that one is durable."""

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._waiting: list[tuple[Sequence[Any], asyncio.Future[None]]] = []
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._work())

    def write(self, *row: Any) -> asyncio.Future[None]:
        """The future ends once the row is durable."""
        durable = asyncio.get_running_loop().create_future()
        self._waiting.append((row, durable))
        self._more.set()
        return durable

    async def _work(self) -> None:
        url = os.environ["DATABASE_URL"]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while await self._more.wait():
                self._more.clear()
                group, self._waiting = self._waiting, []
                columns = [list(column) for column in zip(*(row for row, _ in group), strict=True)]
                await connection.execute(self._statement, columns, prepare=True)
                for _, durable in group:
                    if not durable.cancelled():
                        durable.set_result(None)
