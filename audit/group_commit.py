"""Many rows, one commit: the next group starts when the last one is durable.

No timer and no window: under load the groups grow by themselves, alone a row waits for nobody.
"""

import asyncio
import logging
from typing import Any
from uuid import UUID

import orjson
import psycopg
from django.conf import settings

log = logging.getLogger(__name__)
Row = dict[str, Any]
GROUP = 500
GROUP_BYTES = 8 * 1024 * 1024
BAD_ROW = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
QUEUE = 20_000
GRACE_S = 0.5  # a refusal that is under way arrives before patience ends


class StoreUnavailable(Exception):
    """PostgreSQL did not take the row in time.

    `late` is set when it may do so yet (it holds the connection but does not answer): it ends
    when that is known, as `write` would have, or with an exception when nothing is on record.
    """

    def __init__(self, message: str, late: asyncio.Future[Any] | None = None) -> None:
        super().__init__(message)
        self.late = late


class GroupCommit:
    """Runs `statement` (one jsonb parameter: a list of rows, idempotent by row) group by group.

    What it says of a row, if anything, it selects in the end: the row's id, then one more column.
    `patience_s`: how long a row may wait for a database that is away before StoreUnavailable.
    """

    def __init__(self, dsn: str, statement: str, *, patience_s: float) -> None:
        self._dsn, self._statement, self._patience_s = dsn, statement, patience_s
        self._rows: list[tuple[Row, asyncio.Future[Any], float]] = []
        self._more = asyncio.Event()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._task = asyncio.create_task(self._work())

    async def write(self, row: Row) -> Any:
        """What the statement says of the row, once it is durable. Raises StoreUnavailable."""
        if len(self._rows) >= QUEUE:
            raise StoreUnavailable("too many rows wait for the database")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        self._rows.append((row, done, loop.time()))
        self._more.set()
        await asyncio.wait([done], timeout=self._patience_s + GRACE_S)
        if not done.done():
            raise StoreUnavailable("PostgreSQL does not answer", late=done)
        return done.result()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._connection:
            await self._connection.close()

    async def _work(self) -> None:
        while True:
            await self._more.wait()
            group = self._next_group()
            if not self._rows:
                self._more.clear()
            try:
                await self._commit(group)
            except Exception as problem:  # whatever it is, the next group has its chance
                log.exception("a group of %d rows failed", len(group))
                reason = StoreUnavailable(f"the group failed: {problem!r}")
                _fail(group, reason)

    def _next_group(self) -> list[Any]:
        """As many rows as one statement takes without hurting anybody."""
        size = count = 0
        for row, _, _ in self._rows[:GROUP]:
            size += len(row.get("request") or "") + len(row.get("response") or "")
            if count and size > GROUP_BYTES:
                break
            count += 1
        group, self._rows = self._rows[:count], self._rows[count:]
        return group

    async def _commit(self, group: list[tuple[Row, asyncio.Future[Any], float]]) -> None:
        try:
            said = await self._execute([row for row, _, _ in group])
        except BAD_ROW as problem:
            await self._one_by_one(group, problem)
        except (psycopg.Error, OSError) as problem:
            await self._away(group, problem)
        else:
            for row, done, _ in group:
                if not done.done():
                    done.set_result(said.get(UUID(row["id"])) if said else None)

    async def _execute(self, rows: list[Row]) -> dict[UUID, Any]:
        """What the statement says, by row id."""
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, **settings.DATABASE_PATIENCE, **settings.SEES_ALL
            )
        parameter = orjson.dumps(rows).decode()
        cursor = await self._connection.execute(self._statement, (parameter,), prepare=True)
        return dict(await cursor.fetchall()) if cursor.description else {}

    async def _away(self, group: list[Any], problem: Exception) -> None:
        """Keeps the rows (they are idempotent) for as long as they may wait."""
        if self._connection:
            await self._connection.close()
            self._connection = None
        oldest = asyncio.get_running_loop().time() - self._patience_s
        waiting = group + self._rows
        reason = StoreUnavailable(f"no answer from PostgreSQL: {problem}")
        late = [entry for entry in waiting if entry[2] < oldest]
        _fail(late, reason)
        self._rows = [entry for entry in waiting if entry[2] >= oldest]
        if self._rows:
            self._more.set()
        await asyncio.sleep(0.1)

    async def _one_by_one(self, group: list[Any], problem: Exception) -> None:
        """One bad row must not take its neighbours down."""
        if len(group) == 1:
            log.error("a row was refused: %s", problem)
            _fail(group, problem)
            return
        for entry in group:
            await self._commit([entry])


def _fail(group: list[Any], reason: Exception) -> None:
    for _, done, _ in group:
        if not done.done():
            done.set_exception(reason)
