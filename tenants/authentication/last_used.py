"""Records the last use of keys: in memory first, then in batches, never during a request."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings

log = logging.getLogger(__name__)
EVERY_S = 10.0
_PATIENCE: dict[str, Any] = {**settings.DATABASE_PATIENCE, **settings.SEES_ALL}
# Rows that another transaction is changing are skipped: the next use is recorded again.
_WRITE = """
    with used as (
        select k.id, u.at from unnest(%s::uuid[], %s::timestamptz[]) u(id, at)
        join tenants_apikey k on k.id = u.id
        order by k.id for no key update of k skip locked)
    update tenants_apikey k set last_used_at = greatest(k.last_used_at, used.at)
    from used where k.id = used.id"""


class LastUsed:
    """Writes one statement per EVERY_S for all used keys, and a last one at the end."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._used: dict[UUID, datetime] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, key_id: UUID) -> None:
        self._used[key_id] = datetime.now(UTC)
        if self._task is None:
            self._task = asyncio.ensure_future(self._write_later())
            self._task.add_done_callback(self._clear_task)

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._write()

    async def _write_later(self) -> None:
        await asyncio.sleep(EVERY_S)
        await self._write()

    def _clear_task(self, task: asyncio.Task[None]) -> None:
        self._task = None

    async def _write(self) -> None:
        """Writes the times. After a failure they wait for the next use."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, **_PATIENCE
            ) as connection:
                await connection.execute(_WRITE, [list(used), list(used.values())])
        except (psycopg.Error, OSError) as problem:
            log.warning("cannot write when keys were last used: %s", problem)
            self._used = {**used, **self._used}
