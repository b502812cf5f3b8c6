"""Many rows, one commit: the next group starts when the last one is durable.

No timer and no window: under load the groups grow by themselves, alone a row waits for nobody.
Tenants take turns by bytes (fair_line.py). Large rows, and whatever their tenants write behind
them, are committed over a connection of their own: small rows of others do not wait for them.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any
from uuid import UUID

import orjson
import psycopg

from audit.trail.fair_line import Entry, FairLine, Row, size
from infrastructure.metrics import Counter as Counted
from infrastructure.metrics import Histogram, Label
from infrastructure.postgres.resilient_connection import Connection, ResilientConnection

log = logging.getLogger(__name__)
GROUP = 500
GROUP_BYTES = 2 * 1024 * 1024
LARGE = 128 * 1024  # bytes of a row
BAD_ROW = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
QUEUE = 20_000
QUEUE_BYTES = 256 * 1024 * 1024
SHARE = 2  # of both, one tenant may take 1/2
LARGE_BYTES_PER_S = 4 * 1024 * 1024  # that a slow disk takes: so long large rows wait longer
SMALL = 16 * 1024  # bytes of a row for which a part of the queue is kept
RESERVE = 8  # that part: 1/8 of its bytes
LOCK_WAIT_MS = 150  # what somebody holds for longer is waited for elsewhere
_FIRST = (
    f"set lock_timeout to {LOCK_WAIT_MS}",
    "set enable_seqscan to off",  # by their ids, whatever the statistics of a young table say
)
_WHAT = Label.of("what", "received", "claimed", "settled", "answered_at_once")
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
    `doubt_s`: how long one is waited for that the database may have taken, where nobody may be told
    "no" of what is on record; 0 for no longer than others.
    `tenant_bytes`: how much of one tenant may wait; 0 for its share of QUEUE_BYTES.
    `with_texts`: the same for rows whose `request` is bytes, which come as a second parameter, a
    bytea[], at the row's `place` (from 1): a megabyte as base64 in jsonb costs three times as much.
    `what`: the rows say of a request, for metrics.
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
        self._dsn, self._statement, self._patience_s = dsn, statement, patience_s
        self._doubt_s = doubt_s
        self._with_texts = with_texts
        self._tenant_bytes = tenant_bytes or QUEUE_BYTES // SHARE
        self._line = FairLine()
        self._more = asyncio.Event()
        self._connection = ResilientConnection(dsn, first=_FIRST)
        self._aside: GroupCommit | None = None
        self._is_aside = False
        self._stuck: Counter[int] = Counter()  # rows that are aside, by stripe
        self._large: GroupCommit | None = None
        self._is_large = False
        self._behind: Counter[str] = Counter()  # rows that the other connection has, by tenant
        self._task = asyncio.create_task(self._work())

    async def write(self, row: Row) -> Any:
        """What the statement says of the row, once it is durable. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        entry = Entry(row, done, loop.time(), str(row.get("tenant_id") or ""), size(row))
        self._refuse_too_much(entry)
        if entry.size > LARGE or entry.tenant in self._behind:
            self._put_with_large(entry)
        else:
            self._put(entry)
        ahead = self._large._line.total if self._large and entry.size > LARGE else 0
        patience_s = self._patience_s + GRACE_S + ahead / LARGE_BYTES_PER_S
        try:
            return await _in_time(entry, patience_s)
        except StoreUnavailable as problem:
            if not (problem.late and self._doubt_s):
                raise
        return await _in_time(entry, self._doubt_s)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for lane in (self._aside, self._large):
            if lane:
                await lane.close()
        await self._connection.close()

    # What waits ----------------------------------------------------------------------------------
    def _put(self, entry: Entry) -> None:
        self._line.add(entry)
        self._more.set()

    def _refuse_too_much(self, entry: Entry) -> None:
        rows = total = their_rows = theirs = 0
        for line in self._lines():
            rows += len(line)
            total += line.total
            their_rows += line.rows.get(entry.tenant, 0)
            theirs += line.bytes.get(entry.tenant, 0)
        most = QUEUE_BYTES if entry.size <= SMALL else QUEUE_BYTES - QUEUE_BYTES // RESERVE
        if rows >= QUEUE or total + entry.size > most:
            raise StoreUnavailable("too many rows wait for the database")
        if their_rows >= QUEUE // SHARE:
            raise StoreUnavailable("too many rows of this tenant wait for the database")
        if theirs and theirs + entry.size > self._tenant_bytes:
            raise StoreUnavailable("too many bytes of this tenant wait for the database")

    def _lines(self) -> Iterator[FairLine]:
        yield self._line
        for lane in (self._aside, self._large):
            if lane:
                yield from lane._lines()

    def _put_with_large(self, entry: Entry) -> None:
        """In their tenant's order: locks of one's own large row are not waited for here."""
        if self._is_large:
            return self._put(entry)
        if self._large is None:
            self._large = self._lane()
            self._large._is_large = True
        _counted(self._behind, entry.tenant, entry)
        return self._large._put(entry)

    def _lane(self) -> "GroupCommit":
        return type(self)(
            self._dsn,
            self._statement,
            patience_s=self._patience_s,
            doubt_s=self._doubt_s,
            with_texts=self._with_texts,
            what=self._what,
        )

    # Groups --------------------------------------------------------------------------------------
    async def _work(self) -> None:
        while True:
            await self._more.wait()
            group = self._line.take(GROUP, GROUP_BYTES)
            if not self._line:
                self._more.clear()
            try:
                await self._commit(self._without_stuck(group))
            except Exception as problem:  # whatever it is, the next group has its chance
                log.exception("group commit of %d rows failed", len(group))
                reason = StoreUnavailable(f"the group failed: {problem!r}")
                _fail(group, reason)

    async def _commit(self, group: list[Entry]) -> None:
        if not group:
            return
        fresh: list[Entry] = []
        try:
            connection = await self._connection.get()
            group = [entry for entry in group if not entry.done.done()]  # nor was given up
            fresh = [entry for entry in group if not entry.sent]
            _mark(fresh, sent=True)
            said = await self._timed(connection, [entry.row for entry in group]) if group else {}
        except psycopg.errors.LockNotAvailable:
            _mark(fresh, sent=False)  # PostgreSQL has said that it did not take them
            await self._by_stripe(group)
        except BAD_ROW as problem:
            await self._one_by_one(group, problem)
        except (psycopg.Error, OSError) as problem:
            await self._away(group, problem)
        else:
            for entry in group:
                if not entry.done.done():
                    entry.done.set_result(said.get(UUID(entry.row["id"])) if said else None)

    async def _timed(self, connection: Connection, rows: list[Row]) -> dict[UUID, Any]:
        began = time.monotonic()
        said = await self._execute(connection, rows)
        self._took.observe(time.monotonic() - began)
        self._rows.observe(len(rows))
        return said

    async def _execute(self, connection: Connection, rows: list[Row]) -> dict[UUID, Any]:
        """What the statement says, by row id."""
        statement, parameters = self._statement, _parameters(rows)
        if len(parameters) > 1:
            statement = self._with_texts
        cursor = await connection.execute(statement, parameters, prepare=True)
        return dict(await cursor.fetchall()) if cursor.description else {}

    async def _away(self, group: list[Entry], problem: Exception) -> None:
        """Keeps the rows (they are idempotent) for as long as they may wait."""
        AWAY.of(self._what).value += 1
        await self._connection.close()
        self._again(group, f"no answer from PostgreSQL: {problem}")
        await asyncio.sleep(0.1)

    def _again(self, group: list[Entry], why: str) -> None:
        """Rows whose patience is over fail; the others stand where they stood."""
        late = [entry for entry in group if self._is_over(entry)]
        late += self._line.remove(self._is_over)
        _fail(late, StoreUnavailable(why))
        for entry in group:
            if not entry.done.done():
                self._put(entry)

    def _is_over(self, entry: Entry) -> bool:
        doubt_s = self._doubt_s if entry.sent else 0
        return asyncio.get_running_loop().time() - entry.since > self._patience_s + doubt_s

    # A tenant whose locks are held must not hold up the others -----------------------------------
    async def _by_stripe(self, group: list[Entry]) -> None:
        """Somebody holds a lock that a row wants: the rows of other tenants go through."""
        found: dict[int, list[Entry]] = {}
        for entry in group:
            found.setdefault(_stripe(entry.row), []).append(entry)
        if len(found) > 1:
            for entries in found.values():
                await self._commit(entries)
        elif self._is_aside:
            self._again(group, "somebody holds a lock that the row wants")
        else:
            self._set_aside(group)

    def _set_aside(self, group: list[Entry]) -> None:
        """On a connection of their own they wait for as long as they may."""
        if self._aside is None:
            self._aside = self._lane()
            self._aside._is_aside = True
        for entry in group:
            _counted(self._stuck, _stripe(entry.row), entry)
            entry.place = None
            self._aside._put(entry)

    def _without_stuck(self, group: list[Entry]) -> list[Entry]:
        """Who is behind rows that are aside goes there too: nobody is tried in vain each time."""
        if not self._stuck:
            return group
        stuck = [entry for entry in group if _stripe(entry.row) in self._stuck]
        if stuck:
            self._set_aside(stuck)
        return [entry for entry in group if _stripe(entry.row) not in self._stuck]

    async def _one_by_one(self, group: list[Entry], problem: Exception) -> None:
        """One bad row must not take its neighbours down."""
        if len(group) == 1:
            log.error("PostgreSQL refused a row: %s", problem)
            _fail(group, problem)
            return
        for entry in group:
            await self._commit([entry])


def _parameters(rows: list[Row]) -> tuple[Any, ...]:
    texts: list[bytes] = []
    told = [_without_text(row, texts) for row in rows]
    written = orjson.dumps(told).decode()
    return (written, texts) if texts else (written,)


def _without_text(row: Row, texts: list[bytes]) -> Row:
    text = row.get("request")
    if not isinstance(text, bytes):
        return row
    texts.append(text)
    return {**row, "request": None, "place": len(texts)}


def _stripe(row: Row) -> int:
    """Tenants of one stripe share a lock (tenants/sql/quota_1_locks.sql)."""
    return int(str(row.get("tenant_id") or "0")[:2], 16) & 63


def _counted(counts: "Counter[Any]", name: Hashable, entry: Entry) -> None:
    """Until the row is done."""

    def less(_: object) -> None:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]

    counts[name] += 1
    entry.done.add_done_callback(less)


async def _in_time(entry: Entry, patience_s: float) -> Any:
    """What is said of it; it goes on when nobody waits any more. Costs less than `asyncio.wait`."""
    loop, done = asyncio.get_running_loop(), entry.done
    told: asyncio.Future[Any] = loop.create_future()
    done.add_done_callback(lambda _: _tell(told, done))
    timer = loop.call_later(patience_s, _give_up, told, entry)
    try:
        return await told
    finally:
        timer.cancel()


def _tell(told: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
    if done.cancelled():
        told.cancel()
        return
    problem = done.exception()
    if told.done():
        return
    if problem:
        told.set_exception(problem)
    else:
        told.set_result(done.result())


def _give_up(told: asyncio.Future[Any], entry: Entry) -> None:
    if told.done():
        return
    late = entry.done if entry.sent else None
    told.set_exception(StoreUnavailable("PostgreSQL does not answer", late=late))
    if not late:
        entry.done.cancel()  # nor is it sent from now on


def _mark(group: list[Entry], *, sent: bool) -> None:
    for entry in group:
        entry.sent = sent


def _fail(group: list[Entry], reason: Exception) -> None:
    for entry in group:
        if not entry.done.done():
            entry.done.set_exception(reason)
