"""Hears, in each web process, whose callers were changed: sql/caller_changes.sql tells at commit.

News that is late looks like no news. So every PAUSE_S a message of our own goes the same way: when
it is back, everything that was told before it has been heard. Whoever relies on having heard it
all may do so for VALID_S from when such a message was sent, and for no longer. While nobody does,
few are sent: the first to ask again finds nothing to rely on, and the next one can.
"""

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings

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
VALID_S = 0.9  # what is told is heeded within that time, or nobody relies on it
QUIET_S = 5.0  # so long after somebody has asked
REST_S = 10.0  # then a message, unless somebody asks
PATIENCE_S = 3.0
AGAIN_S = 0.3
MOST = 10_000
_PATIENCE: dict[str, Any] = {**settings.DATABASE_PATIENCE, **settings.SEES_ALL}
_PROBE = f"""
    select pg_notify(%s, %s), count(*) = {TRIGGERS} from pg_trigger
    where tgfoid = to_regproc('tenants_tell_caller_changes') and tgenabled in ('O', 'A')
      and tgrelid in ({", ".join(f"'{table}'::regclass" for table in TABLES)})"""
NEVER = float("-inf")


class NotTold(Exception):
    """Triggers are missing, or disabled."""


class Changes:
    """Times are the event loop's, in seconds; those of questions are from when they were asked."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._mine = f"{CHANNEL}_{secrets.token_hex(8)}"
        self._loop = asyncio.get_running_loop()
        self._heard: dict[UUID, float] = {}
        self._of_all = NEVER
        self._probes, self._sent = 0, NEVER
        self._since, self._until = NEVER, NEVER
        self._deaf = False
        self._asked, self._asked_at = asyncio.Event(), self._loop.time()
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def touched(self, tenant_id: UUID, asked_at: float) -> bool:
        """Whether an answer about the tenant may be out of date, as far as is known."""
        return asked_at <= self._of_all or asked_at <= self._heard.get(tenant_id, NEVER)

    def all_heard(self, asked_at: float, now: float) -> bool:
        """Whether whatever was changed since, but for the last VALID_S, is known."""
        self._asked_at = now
        self._asked.set()
        return self._since < asked_at and now < self._until

    # Listening -----------------------------------------------------------------------------------
    async def _work(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError, NotTold) as problem:
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
                await self._hear_what_comes(connection, self._loop.time() + PAUSE_S)
        finally:
            self._until = NEVER
            await connection.close()

    async def _rest(self) -> None:
        """What is told meanwhile waits in the connection: it is heard before our message."""
        if self._loop.time() - self._asked_at < QUIET_S:
            return
        self._asked.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_S):
                await self._asked.wait()

    async def _probe(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._probes, self._sent = self._probes + 1, self._loop.time()
        async with asyncio.timeout(PATIENCE_S):
            told = [self._mine, str(self._probes)]
            cursor = await connection.execute(_PROBE, told, prepare=True)
            found = await cursor.fetchone()
        if not found or not found[1]:
            raise NotTold("triggers are missing or disabled: run `manage.py migrate`")

    async def _hear_what_comes(
        self, connection: psycopg.AsyncConnection[Any], until: float
    ) -> None:
        """psycopg itself would wake ten times a second."""
        while True:
            async for told in connection.notifies(timeout=0):
                self._hear(told)
            if not await readable(connection.fileno(), until):
                return

    def _hear(self, told: psycopg.Notify) -> None:
        now = self._loop.time()
        if told.channel == self._mine:
            if told.payload != str(self._probes):
                return  # from a connection that was given up
            self._until = self._sent + VALID_S
            if self._deaf:
                log.warning("cache invalidation restored")
                self._deaf = False
        elif (tenant_id := _tenant(told.payload)) and len(self._heard) < MOST:
            self._heard[tenant_id] = now
        else:
            self._of_all = now
            self._heard.clear()

    def _lost(self, problem: Exception) -> None:
        if not self._deaf:
            log.warning("cache invalidation lost (%r); falling back to a 0.5 s TTL", problem)
            self._deaf = True


def _tenant(payload: str) -> UUID | None:
    """None stands for all. Whoever can run SQL can send anything here (PostgreSQL has no right to
    NOTIFY): whatever it is, no more comes of it than that callers are looked up again.
    """
    try:
        return UUID(payload)
    except ValueError:
        return None


async def readable(descriptor: int, until: float) -> bool:
    """False at `until`, of the loop's clock."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[bool] = loop.create_future()
    loop.add_reader(descriptor, _resolve, told, True)
    timer = loop.call_at(until, _resolve, told, False)
    try:
        return await told
    finally:
        timer.cancel()
        loop.remove_reader(descriptor)


def _resolve(told: asyncio.Future[bool], result: bool) -> None:
    if not told.done():
        told.set_result(result)
