"""Many rows, one commit: the next group starts when the last one is durable.

No timer and no window: under load the groups grow by themselves, alone a row waits for nobody.
"""

import asyncio
import logging
from collections import Counter
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
LOCK_WAIT_MS = 150  # what somebody holds for longer is waited for elsewhere
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
        self._aside: GroupCommit | None = None
        self._is_aside = False
        self._stuck: Counter[int] = Counter()  # rows that are aside, by stripe
        self._task = asyncio.create_task(self._work())

    async def write(self, row: Row) -> Any:
        """What the statement says of the row, once it is durable. Raises StoreUnavailable."""
        if len(self._rows) + self._stuck.total() >= QUEUE:
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
        if self._aside:
            await self._aside.close()
        if self._connection:
            await self._connection.close()

    async def _work(self) -> None:
        while True:
            await self._more.wait()
            group = self._next_group()
            if not self._rows:
                self._more.clear()
            try:
                await self._commit(self._without_stuck(group))
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
        if not group:
            return
        try:
            said = await self._execute([row for row, _, _ in group])
        except psycopg.errors.LockNotAvailable:
            await self._by_stripe(group)
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
            await self._connection.execute(f"set lock_timeout to {LOCK_WAIT_MS}")
            # Rows are found by their ids, whatever the statistics of a young table say.
            await self._connection.execute("set enable_seqscan to off")
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

    # A tenant whose locks are held must not hold up the others -----------------------------------
    async def _by_stripe(self, group: list[Any]) -> None:
        """Somebody holds a lock that a row wants: the rows of other tenants go through."""
        found: dict[int, list[Any]] = {}
        for entry in group:
            found.setdefault(_stripe(entry[0]), []).append(entry)
        if len(found) > 1:
            for entries in found.values():
                await self._commit(entries)
        elif self._is_aside:
            self._again(group)
        else:
            self._set_aside(group)

    def _set_aside(self, group: list[Any]) -> None:
        """On a connection of their own they wait for as long as they may."""
        if self._aside is None:
            self._aside = GroupCommit(self._dsn, self._statement, patience_s=self._patience_s)
            self._aside._is_aside = True
        for entry in group:
            stripe = _stripe(entry[0])
            self._stuck[stripe] += 1
            entry[1].add_done_callback(lambda _, stripe=stripe: self._free(stripe))
        self._aside._rows += group
        self._aside._more.set()

    def _without_stuck(self, group: list[Any]) -> list[Any]:
        """Who is behind rows that are aside goes there too: nobody is tried in vain each time."""
        if not self._stuck:
            return group
        stuck = [entry for entry in group if _stripe(entry[0]) in self._stuck]
        if stuck:
            self._set_aside(stuck)
        return [entry for entry in group if _stripe(entry[0]) not in self._stuck]

    def _free(self, stripe: int) -> None:
        self._stuck[stripe] -= 1
        if not self._stuck[stripe]:
            del self._stuck[stripe]

    def _again(self, group: list[Any]) -> None:
        oldest = asyncio.get_running_loop().time() - self._patience_s
        late = [entry for entry in group if entry[2] < oldest]
        _fail(late, StoreUnavailable("somebody holds a lock that the row wants"))
        self._rows += [entry for entry in group if entry[2] >= oldest]
        if self._rows:
            self._more.set()

    async def _one_by_one(self, group: list[Any], problem: Exception) -> None:
        """One bad row must not take its neighbours down."""
        if len(group) == 1:
            log.error("a row was refused: %s", problem)
            _fail(group, problem)
            return
        for entry in group:
            await self._commit([entry])


def _stripe(row: Row) -> int:
    """Tenants of one stripe share a lock (tenants/sql/quota_1_locks.sql)."""
    return int(str(row.get("tenant_id") or "0")[:2], 16) & 63


def _fail(group: list[Any], reason: Exception) -> None:
    for _, done, _ in group:
        if not done.done():
            done.set_exception(reason)
