"""Tells each web process about changed callers, of which sql/caller_changes.sql notifies.

A late notification looks like none. So every PAUSE_S the process sends a message to itself the same
way: when it arrives, all earlier notifications have arrived too. Callers may be relied on for
VALID_S from the time it was sent, and no longer. Without requests few messages are sent: the first
request after a pause has nothing to rely on, and the next one has.
"""

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings

from infrastructure.descriptor_wait import readable

log = logging.getLogger(__name__)
CHANNEL = "forebay_callers"
TABLES = (
    "audit_deletionrequest",
    "tenants_apikey",
    "tenants_cacherule",
    "tenants_member",
    "tenants_quota",
    "tenants_restrictedmodel",
    "tenants_restrictedmodelgroupobjectpermission",
    "tenants_team",
    "tenants_teammembership",
    "tenants_tenant",
    "tenants_tierpolicy",
    "tenants_user",
)
TRIGGERS = 3 * len(TABLES)
PAUSE_S = 0.3
VALID_S = 0.9  # changes take effect within this time, or remembered callers are not used
QUIET_S = 5.0  # without a request before messages become rare
REST_S = 10.0  # between rare messages, unless a request comes
PATIENCE_S = 3.0
AGAIN_S = 0.3
MOST = 10_000
_PATIENCE: dict[str, Any] = {**settings.DATABASE_PATIENCE, **settings.SEES_ALL}
_PROBE = f"""
    select pg_notify(%s, %s), count(*) = {TRIGGERS} from pg_trigger
    where tgfoid = to_regproc('tenants_tell_caller_changes') and tgenabled in ('O', 'A')
      and tgrelid in ({", ".join(f"'{table}'::regclass" for table in TABLES)})"""
NEVER = float("-inf")


class TriggersMissing(Exception):
    """Triggers that send notifications are missing or disabled."""


class Changes:
    """Changes seen so far. Times are on the loop's clock; those of queries are their beginnings."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._mine = f"{CHANNEL}_{secrets.token_hex(8)}"
        self._loop = asyncio.get_running_loop()
        self._changed_at: dict[UUID, float] = {}
        self._all_changed_at = NEVER
        self._probes, self._sent = 0, NEVER
        self._since, self._until = NEVER, NEVER
        self._deaf = False
        self._asked, self._asked_at = asyncio.Event(), self._loop.time()
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def touched(self, tenant_id: UUID, asked_at: float) -> bool:
        """Returns True if a known change may have outdated an answer about the tenant."""
        return asked_at <= self._all_changed_at or asked_at <= self._changed_at.get(
            tenant_id, NEVER
        )

    def all_heard(self, asked_at: float, now: float) -> bool:
        """Returns True if all changes since the answer are known, except for the last VALID_S."""
        self._asked_at = now
        self._asked.set()
        return self._since < asked_at and now < self._until

    # Listening -----------------------------------------------------------------------------------
    async def _work(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError, TriggersMissing) as problem:
                self._lost(problem)
            except Exception as problem:
                log.exception("cannot listen for cache invalidation")
                self._lost(problem)
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, **_PATIENCE
            )
        try:
            async with asyncio.timeout(PATIENCE_S):
                await connection.execute("set synchronous_commit to off")  # for our own messages
                await connection.execute(f"listen {CHANNEL}; listen {self._mine}")
            self._since = self._loop.time()
            while True:
                await self._rest()
                await self._probe(connection)
                await self._receive_until(connection, self._loop.time() + PAUSE_S)
        finally:
            self._until = NEVER
            await connection.close()

    async def _rest(self) -> None:
        """Waits for a request. Notifications wait too, and arrive before our message."""
        if self._loop.time() - self._asked_at < QUIET_S:
            return
        self._asked.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_S):
                await self._asked.wait()

    async def _probe(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._probes, self._sent = self._probes + 1, self._loop.time()
        async with asyncio.timeout(PATIENCE_S):
            values = [self._mine, str(self._probes)]
            cursor = await connection.execute(_PROBE, values, prepare=True)
            row = await cursor.fetchone()
        if not row or not row[1]:
            raise TriggersMissing("triggers are missing or disabled: run `manage.py migrate`")

    async def _receive_until(self, connection: psycopg.AsyncConnection[Any], until: float) -> None:
        while True:
            async for notification in connection.notifies(timeout=0):
                self._receive(notification)
            if not await readable(connection.fileno(), until):
                return

    def _receive(self, notification: psycopg.Notify) -> None:
        now = self._loop.time()
        if notification.channel == self._mine:
            if notification.payload != str(self._probes):
                return  # from an abandoned connection
            self._until = self._sent + VALID_S
            if self._deaf:
                log.warning("cache invalidation restored")
                self._deaf = False
        elif (tenant_id := _tenant(notification.payload)) and len(self._changed_at) < MOST:
            self._changed_at[tenant_id] = now
        else:
            self._all_changed_at = now
            self._changed_at.clear()

    def _lost(self, problem: Exception) -> None:
        if not self._deaf:
            log.warning("cache invalidation lost (%r); falling back to a 0.5 s TTL", problem)
            self._deaf = True


def _tenant(payload: str) -> UUID | None:
    """Returns the tenant, or None for all.

    Anybody who can run SQL can send any payload (PostgreSQL has no privilege for NOTIFY); at worst
    callers are queried again.
    """
    try:
        return UUID(payload)
    except ValueError:
        return None
