"""Credentials in, a typed Caller out. Nothing behind the door looks at a key again.

A caller is remembered for CACHE_S, so that a revoked key is refused within a second everywhere
and a busy key costs the database one look per CACHE_S. Without the database nobody new comes in.
"""

import asyncio
from collections import OrderedDict
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings

from tenants import secret_keys
from tenants.caller import Caller, Limits
from tenants.models.tenant import WEIGHTS, Tier

CACHE_S = 0.5
CACHED = 10_000
PATIENCE_S = 2.0
_PATIENCE: dict[str, Any] = settings.DATABASE_PATIENCE

_TENANT = "t.id, t.name, t.tier, t.requests_per_minute, t.burst, t.max_concurrency"
_BY_KEY = f"""
    select k.id, null::uuid, k.subject_id, {_TENANT}
    from tenants_apikey k join tenants_tenant t on t.id = k.tenant_id
    where k.digest = %s and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > now())"""
_BY_USER = f"""
    select null::uuid, m.id, m.subject_id, {_TENANT}
    from tenants_member m join tenants_tenant t on t.id = m.tenant_id
    join tenants_user u on u.id = m.user_id
    where m.id = %s and u.is_active"""


class UnknownCaller(Exception):
    """The credentials open nothing: wrong, revoked or expired."""


class DoorClosed(Exception):
    """The database that knows the callers does not answer."""


class Door:
    """Asks PostgreSQL over one connection of its own: a look takes 0.2 ms, and is rare."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()
        self._known: OrderedDict[bytes | UUID, tuple[Caller, float]] = OrderedDict()
        self._looking: dict[bytes | UUID, asyncio.Future[Caller]] = {}

    async def close(self) -> None:
        if self._connection:
            await self._connection.close()

    async def by_key(self, text: str) -> Caller:
        """Raises UnknownCaller, DoorClosed."""
        if not secret_keys.well_formed(text):
            raise UnknownCaller
        digest = secret_keys.digest(text)
        return self._remembered(digest) or await self._look_up(_BY_KEY, digest)

    async def by_member(self, member_id: UUID) -> Caller:
        """For a signed-in person: the membership must still stand."""
        return self._remembered(member_id) or await self._look_up(_BY_USER, member_id)

    def _remembered(self, credential: bytes | UUID) -> Caller | None:
        known = self._known.get(credential)
        if known and known[1] > asyncio.get_running_loop().time():
            return known[0]
        return None

    async def _look_up(self, query: str, credential: bytes | UUID) -> Caller:
        """One look for everybody who asks at the same time."""
        looking = self._looking.get(credential)
        if looking is None:
            looking = asyncio.ensure_future(self._ask(query, credential))
            self._looking[credential] = looking
            looking.add_done_callback(lambda done: self._looked(credential, done))
        try:
            return await asyncio.wait_for(asyncio.shield(looking), PATIENCE_S)
        except TimeoutError:
            raise DoorClosed("PostgreSQL does not answer") from None

    def _looked(self, credential: bytes | UUID, done: asyncio.Future[Caller]) -> None:
        self._looking.pop(credential, None)
        if not done.cancelled():
            done.exception()  # whoever asked has it, if anybody is still there

    async def _ask(self, query: str, credential: bytes | UUID) -> Caller:
        asked_at = asyncio.get_running_loop().time()
        try:
            row = await self._fetch(query, credential)
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as problem:
            raise DoorClosed(str(problem)) from None
        if row is None:
            self._known.pop(credential, None)
            raise UnknownCaller
        caller = _caller(row)
        self._known[credential] = caller, asked_at + CACHE_S
        if len(self._known) > CACHED:
            self._known.popitem(last=False)
        return caller

    async def _fetch(self, query: str, credential: bytes | UUID) -> tuple[Any, ...] | None:
        """Over the connection there is, else over a new one: it may have died while idle."""
        async with self._turn:
            if self._connection:
                try:
                    return await _one(self._connection, query, credential)
                except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
                    await self._connection.close()
            self._connection = None
            self._connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, **_PATIENCE
            )
            return await _one(self._connection, query, credential)


async def _one(
    connection: psycopg.AsyncConnection[Any], query: str, credential: bytes | UUID
) -> tuple[Any, ...] | None:
    cursor = await connection.execute(query, (credential,), prepare=True)
    return await cursor.fetchone()


def _caller(row: tuple[Any, ...]) -> Caller:
    key_id, member_id, subject_id, tenant_id, tenant, tier, per_minute, burst, at_once = row
    return Caller(
        tenant_id=tenant_id,
        tenant=tenant,
        actor=f"key:{key_id}" if key_id else f"member:{member_id}",
        subject_id=subject_id,
        weight=WEIGHTS[Tier(tier)],
        limits=Limits(per_minute, burst, at_once),
        api_key_id=key_id,
        member_id=member_id,
    )
