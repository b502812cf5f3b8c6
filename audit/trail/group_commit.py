"""Group commit: many rows in one transaction; the next group starts when the last one is durable.

There is no timer and no window: groups grow under load, and a single row does not wait. Tenants
take turns by bytes (commit_queue.py). Large rows, and those that their tenants write after them,
have a connection of their own, so that small rows of others do not wait for them.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import psycopg

from audit.trail.commit_queue import CommitQueue, Row, WaitingRow, size
from infrastructure.metrics import Counter as Counted
from infrastructure.metrics import Histogram, Label
from infrastructure.postgres.resilient_connection import (
    WAIT_FOR_STANDBYS,
    Connection,
    ResilientConnection,
    hung_up_after,
)

log = logging.getLogger(__name__)
GROUP = 500
GROUP_BYTES = 2 * 1024 * 1024
LARGE = 128 * 1024  # bytes of a row
BAD_ROW = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
QUEUE = 20_000
QUEUE_BYTES = 256 * 1024 * 1024
SHARE = 2  # one tenant may take 1/2 of both
LARGE_BYTES_PER_S = 4 * 1024 * 1024  # of a slow disk: the patience of large rows grows by it
SMALL = 16 * 1024  # bytes of a row for which a part of the queue is reserved
RESERVE = 8  # that part is 1/8 of the bytes
LOCK_WAIT_MS = 150  # rows that want a lock for longer move to a lane of their own
_FIRST = (
    f"set lock_timeout to {LOCK_WAIT_MS}",
    "set enable_seqscan to off",  # the statistics of a new table would mislead the planner
)
_WHAT = Label.of("what", "received", "claimed", "settled", "answered_at_once", "decided", "people")
ROWS = Histogram(
    "forebay_group_commit_rows",
    "Rows that became durable in one commit, by what they say of a request",
    _WHAT,
    bounds=(1, 2, 5, 10, 25, 50, 100, 250, 500),
)
TOOK = Histogram(
    "forebay_group_commit_duration_seconds",
    "A group commit, from its statement until it is durable",
    _WHAT,
    bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
AWAY = Counted(
    "forebay_group_commit_failures_total",
    "Group commits for which PostgreSQL did not answer; their rows are tried again",
    _WHAT,
)
GRACE_S = 0.5  # lets a refusal from the database arrive before patience ends
FROZEN_S = 15.0  # a group that takes longer is tried again, on another server if there is one
# At the next time it may take twice as long, up to this: where no standby is left each try leaves a
# connection behind that waits for one, and they would soon be all that the server takes.
MOST_FROZEN_S = 240.0


class NotReplicated(OSError):
    """PostgreSQL has committed, and no standby need have it."""


class StoreUnavailable(Exception):
    """PostgreSQL did not accept the row in time.

    `late` is set if it still may (it has the row but does not answer): this future ends once that
    is known, with the result of `write`, or with an exception if nothing is on record.
    """

    def __init__(self, message: str, late: asyncio.Future[Any] | None = None) -> None:
        super().__init__(message)
        self.late = late


class GroupCommit:
    """Runs `statement` (one jsonb parameter: a list of rows, idempotent by row) group by group.

    The statement may end with a select of two columns: the row's id and the result of `write`.
    `patience_s`: the time that a row may wait for an unreachable database before StoreUnavailable.
    `doubt_s`: the further time to wait for a row that the database may have received, so that no
    caller is refused a row that is on record; 0 for none. `tenant_bytes`: the most bytes of one
    tenant that may wait; 0 for its share of QUEUE_BYTES. `with_texts`: the statement for rows whose
    `request` is bytes. These are passed as a second parameter, a bytea[], at the row's `place`
    (from 1), because a megabyte as base64 in jsonb costs three times as much. `what`: the kind of
    the rows, for metrics.
    """

    def __init__(
        self,
        dsn: str,
        statement: str,
        *,
        patience_s: float,
        doubt_s: float = 0,
        tenant_bytes: int = 0,
        with_texts: str = "",
        what: str = "",
    ) -> None:
        self._what = what
        self._rows, self._took = ROWS.of(what), TOOK.of(what)
        self._lane = partial(
            type(self),
            dsn,
            statement,
            patience_s=patience_s,
            doubt_s=doubt_s,
            with_texts=with_texts,
            what=what,
        )
        self._statement, self._with_texts = statement, with_texts
        self._patience_s, self._doubt_s = patience_s, doubt_s
        self._tenant_bytes = tenant_bytes or QUEUE_BYTES // SHARE
        self._line = CommitQueue()
        self._more = asyncio.Event()
        self._connection = ResilientConnection(dsn, first=_FIRST)
        self._frozen_s = FROZEN_S
        self._aside: GroupCommit | None = None
        self._is_aside = False
        self._stuck: Counter[int] = Counter()  # rows in that lane, by stripe
        self._large: GroupCommit | None = None
        self._behind: Counter[str] = Counter()  # rows in the large lane, by tenant
        self._task = asyncio.create_task(self._work())

    async def write(self, row: Row) -> Any:
        """Returns the statement's result once the row is durable. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        entry = WaitingRow(row, done, loop.time(), str(row.get("tenant_id") or ""), size(row))
        self._refuse_too_much(entry)
        if entry.size > LARGE or entry.tenant in self._behind:
            # The tenant's rows keep their order in the lane of large rows.
            self._large = self._large or self._lane()
            _count_until_done(self._behind, entry.tenant, entry)
            self._large._put(entry)
        else:
            self._put(entry)
        ahead = self._large._line.total if self._large and entry.size > LARGE else 0
        patience_s = self._patience_s + GRACE_S + ahead / LARGE_BYTES_PER_S
        try:
            return await _result_within(entry, patience_s)
        except StoreUnavailable as problem:
            if not (problem.late and self._doubt_s):
                raise
        return await _result_within(entry, self._doubt_s)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for lane in filter(None, (self._aside, self._large)):
            await lane.close()
        await self._connection.close()

    # The queue -----------------------------------------------------------------------------------
    def _put(self, entry: WaitingRow) -> None:
        self._line.add(entry)
        self._more.set()

    def _refuse_too_much(self, entry: WaitingRow) -> None:
        rows = total = tenant_rows = tenant_bytes = 0
        for line in self._lines():
            rows += len(line)
            total += line.total
            tenant_rows += line.rows.get(entry.tenant, 0)
            tenant_bytes += line.bytes.get(entry.tenant, 0)
        most = QUEUE_BYTES if entry.size <= SMALL else QUEUE_BYTES - QUEUE_BYTES // RESERVE
        if rows >= QUEUE or total + entry.size > most:
            raise StoreUnavailable("too many rows wait for the database")
        if tenant_rows >= QUEUE // SHARE:
            raise StoreUnavailable("too many rows of this tenant wait for the database")
        if tenant_bytes and tenant_bytes + entry.size > self._tenant_bytes:
            raise StoreUnavailable("too many bytes of this tenant wait for the database")

    def _lines(self) -> Iterator[CommitQueue]:
        yield self._line
        for lane in filter(None, (self._aside, self._large)):
            yield from lane._lines()

    # Groups --------------------------------------------------------------------------------------
    async def _work(self) -> None:
        while True:
            await self._more.wait()
            group = self._line.take(GROUP, GROUP_BYTES)
            if not self._line:
                self._more.clear()
            try:
                await self._commit(self._without_stuck(group))
            except Exception as problem:  # whatever it is, the next group must be tried
                log.exception("group commit of %d rows failed", len(group))
                reason = StoreUnavailable(f"the group failed: {problem!r}")
                _fail(group, reason)

    async def _commit(self, group: list[WaitingRow]) -> None:
        if not group:
            return
        fresh: list[WaitingRow] = []
        try:
            connection = await self._connection.get()
            group = [entry for entry in group if not entry.done.done()]  # drops abandoned rows
            fresh = [entry for entry in group if not entry.sent]
            _mark(fresh, sent=True)
            rows = [entry.row for entry in group]
            is_repeated = len(fresh) < len(group)
            results = await self._timed(connection, rows, is_repeated) if rows else {}
        except psycopg.errors.LockNotAvailable:
            _mark(fresh, sent=False)  # PostgreSQL certainly did not accept them
            await self._commit_by_stripe(group)
        except BAD_ROW as problem:
            await self._one_by_one(group, problem)
        except (psycopg.Error, OSError) as problem:
            await self._retry_later(group, problem)
        else:
            for entry in group:
                if not entry.done.done():
                    result = results.get(UUID(entry.row["id"])) if results else None
                    entry.done.set_result(result)

    async def _timed(
        self, connection: Connection, rows: list[Row], is_repeated: bool
    ) -> dict[UUID, Any]:
        began = time.monotonic()
        patience_s, self._frozen_s = self._frozen_s, min(2 * self._frozen_s, MOST_FROZEN_S)
        with hung_up_after(connection, patience_s):
            if is_repeated:
                results = await self._execute_again(connection, rows)
            else:
                results = await self._execute(connection, rows)
        if self._connection.is_in_doubt:
            raise NotReplicated("the wait for standbys was cancelled")
        self._frozen_s = FROZEN_S
        self._took.observe(time.monotonic() - began)
        self._rows.observe(len(rows))
        return results

    async def _execute(self, connection: Connection, rows: list[Row]) -> dict[UUID, Any]:
        """Returns the statement's results by row id."""
        statement, parameters = self._statement, _parameters(rows)
        if len(parameters) > 1:
            statement = self._with_texts
        cursor = await connection.execute(statement, parameters, prepare=True)
        return dict(await cursor.fetchall()) if cursor.description else {}

    async def _execute_again(self, connection: Connection, rows: list[Row]) -> dict[UUID, Any]:
        """Executes rows of which an earlier try may be in the log of this server alone."""
        async with connection.transaction():
            results = await self._execute(connection, rows)
            await connection.execute(WAIT_FOR_STANDBYS)
        return results

    async def _retry_later(self, group: list[WaitingRow], problem: Exception) -> None:
        """Queues the rows again (they are idempotent) while they may still wait."""
        AWAY.of(self._what).value += 1
        await self._connection.close()
        self._requeue(group, f"no answer from PostgreSQL: {problem}")
        await asyncio.sleep(0.1)

    def _requeue(self, group: list[WaitingRow], reason: str) -> None:
        """Fails rows whose patience is over; the others return to their positions."""
        late = [entry for entry in group if self._is_over(entry)]
        late += self._line.remove(self._is_over)
        _fail(late, StoreUnavailable(reason))
        for entry in group:
            if not entry.done.done():
                self._put(entry)

    def _is_over(self, entry: WaitingRow) -> bool:
        doubt_s = self._doubt_s if entry.sent else 0
        return asyncio.get_running_loop().time() - entry.since > self._patience_s + doubt_s

    # A tenant whose locks are held must not hold up the others -----------------------------------
    async def _commit_by_stripe(self, group: list[WaitingRow]) -> None:
        """Commits stripes one by one, since another transaction holds a lock that a row wants."""
        stripes: dict[int, list[WaitingRow]] = {}
        for entry in group:
            stripes.setdefault(_stripe(entry.row), []).append(entry)
        if len(stripes) > 1:
            for entries in stripes.values():
                await self._commit(entries)
        elif self._is_aside:
            self._requeue(group, "somebody holds a lock that the row wants")
        else:
            self._set_aside(group)

    def _set_aside(self, group: list[WaitingRow]) -> None:
        """Moves rows to the lane of blocked rows, where they wait as long as they may."""
        if self._aside is None:
            self._aside = self._lane()
            self._aside._is_aside = True
        for entry in group:
            _count_until_done(self._stuck, _stripe(entry.row), entry)
            entry.position = None  # the other lane has a clock of its own
            self._aside._put(entry)

    def _without_stuck(self, group: list[WaitingRow]) -> list[WaitingRow]:
        """Moves rows of blocked stripes to their lane, so that they are not tried in vain."""
        if not self._stuck:
            return group
        stuck = [entry for entry in group if _stripe(entry.row) in self._stuck]
        if stuck:
            self._set_aside(stuck)
        return [entry for entry in group if _stripe(entry.row) not in self._stuck]

    async def _one_by_one(self, group: list[WaitingRow], problem: Exception) -> None:
        """Commits each row alone, so that one bad row does not fail the others."""
        if len(group) == 1:
            log.error("PostgreSQL refused a row: %s", problem)
            _fail(group, problem)
            return
        for entry in group:
            await self._commit([entry])


def _parameters(rows: list[Row]) -> tuple[Any, ...]:
    texts: list[bytes] = []
    plain = [_without_text(row, texts) for row in rows]
    text = orjson.dumps(plain).decode()
    return (text, texts) if texts else (text,)


def _without_text(row: Row, texts: list[bytes]) -> Row:
    text = row.get("request")
    if not isinstance(text, bytes):
        return row
    texts.append(text)
    return {**row, "request": None, "place": len(texts)}


def _stripe(row: Row) -> int:
    """Tenants of one stripe share a lock (tenants/sql/quota_1_locks.sql)."""
    return int(str(row.get("tenant_id") or "0")[:2], 16) & 63


def _count_until_done(counts: "Counter[Any]", name: Hashable, entry: WaitingRow) -> None:
    """Counts the entry until it is done."""

    def decrement(_: object) -> None:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]

    counts[name] += 1
    entry.done.add_done_callback(decrement)


async def _result_within(entry: WaitingRow, patience_s: float) -> Any:
    """Returns the entry's result. The entry stays in the queue if the caller is cancelled.

    Costs less than `asyncio.wait`.
    """
    loop, done = asyncio.get_running_loop(), entry.done
    result: asyncio.Future[Any] = loop.create_future()
    done.add_done_callback(lambda _: _pass_on(done, result))
    timer = loop.call_later(patience_s, _give_up, result, entry)
    try:
        return await result
    finally:
        timer.cancel()


def _pass_on(done: asyncio.Future[Any], result: asyncio.Future[Any]) -> None:
    if done.cancelled():
        result.cancel()
        return
    problem = done.exception()
    if result.done():
        return
    if problem:
        result.set_exception(problem)
    else:
        result.set_result(done.result())


def _give_up(result: asyncio.Future[Any], entry: WaitingRow) -> None:
    if result.done():
        return
    late = entry.done if entry.sent else None
    result.set_exception(StoreUnavailable("PostgreSQL does not answer", late=late))
    if not late:
        entry.done.cancel()  # so it will not be sent any more


def _mark(group: list[WaitingRow], *, sent: bool) -> None:
    for entry in group:
        entry.sent = sent


def _fail(group: list[WaitingRow], reason: Exception) -> None:
    for entry in group:
        if not entry.done.done():
            entry.done.set_exception(reason)
