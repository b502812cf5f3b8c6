"""Every event against its leaf: none changed, none gone, none that never came under seal."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from operator import lt
from typing import Any, cast
from uuid import UUID

import psycopg

from audit.trail.canonical import moment
from audit.verification.order import Cut, conditions
from audit.verification.report import Report
from audit.verification.restores import restarts
from audit.verification.rows import Row, in_order
from audit.verification.spool import Batch, Spool
from audit.verification.time_range import TimeRange

PATIENCE = timedelta(seconds=60)  # so long an event may wait for its seal
_STRAYS = """
    select id, tenant_id, at, xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
           (xid, id) > (select coalesce(max(xid), 0), coalesce(max(event_id), 0)
                        from audit_sealmark) and id > %s
    from audit_event where id = any(%s)"""
_CHUNK = 2_000
AHEAD = 20_000  # events that are read on when one is not where it should be, and kept in memory
_LEAF = sha256(b"\x00")  # copied, it begins a leaf's hash faster than a new one does

Seen = tuple[int, int, bytes]  # its place in the order of sealing, its microseconds, its leaf


class Events:
    """The events in the order of sealing beside what the seals promise in the same order."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        span: TimeRange,
        spool: Spool,
        report: Report,
    ) -> None:
        self._connection, self._span, self._spool = connection, span, spool
        self._report, self._restarts = report, restarts(connection)
        self._seen: dict[int, Seen] = {}  # read, and not yet asked for
        self._places = 0  # how many were read
        self._owed: dict[int, tuple[bytes, Batch]] = {}  # asked for, and not yet seen
        self._reached: dict[UUID, int] = {}  # by tenant: the place of its last event
        self.missing = 0  # in batches that may miss some

    def match(self, after: Cut | None = None, upto: Cut | None = None) -> None:
        """All that come between two cuts in the order of sealing."""
        parts = conditions(self._restarts, after, upto)
        rows = in_order(self._connection, self._span, parts, self._spool.reach())
        for batches in self._spool.rounds():
            self._read_on(rows, batches)
            for batch in batches:
                if not self._is_as_promised(batch):
                    self._one_by_one(batch)
            if len(self._seen) > AHEAD:
                self._let_go(len(self._seen) - AHEAD)
        while self._read(rows, _CHUNK):
            self._let_go(len(self._seen))
        self._let_go(len(self._seen))
        self._settle()

    def _read_on(self, rows: Iterator[Row], batches: list[Batch]) -> None:
        """So far that the round is there, or until it cannot be expected any more."""
        wanted = sum(len(batch.ids) for batch in batches)
        self._read(rows, max(0, wanted - len(self._seen)))
        ids = [event_id for batch in batches if not batch.may_miss for event_id in batch.ids]
        while len(self._seen) < wanted + AHEAD and not all(map(self._seen.__contains__, ids)):
            if not self._read(rows, wanted):
                break

    def _read(self, rows: Iterator[Row], most: int) -> bool:
        """Whether there was anything."""
        place = before = self._places
        for event_id, at_us, line in islice(rows, most):
            leaf = _LEAF.copy()
            leaf.update(line)
            self._seen[event_id] = place, at_us, leaf.digest()
            place += 1
        self._places = place
        return place > before

    def _is_as_promised(self, batch: Batch) -> bool:
        """All of it together: there, unchanged, and in its order and time."""
        found = [self._seen.get(event_id) for event_id in batch.ids]
        if not found or None in found:
            return False
        places, times, leaves = zip(*cast(list[Seen], found), strict=True)
        reached = self._reached.get(batch.tenant_id, -1)
        if (
            b"".join(leaves) != batch.leaves
            or (min(times), max(times)) != (batch.first_us, batch.last_us)
            or not all(map(lt, (reached, *places), places))
        ):
            return False
        self._reached[batch.tenant_id] = places[-1]
        for event_id in batch.ids:
            del self._seen[event_id]
        return True

    def _one_by_one(self, batch: Batch) -> None:
        first, last, complete = 2**62, -(2**62), True
        reached = self._reached.get(batch.tenant_id, -1)
        for n, event_id in enumerate(batch.ids):
            leaf = batch.leaves[32 * n : 32 * n + 32]
            seen = self._seen.pop(event_id, None)
            if seen is None:
                complete = False
                self._not_seen(event_id, leaf, batch)
                continue
            place, at_us, found = seen
            if found != leaf:
                self._say("event_changed", "is not what was sealed", event_id, batch)
            if place <= reached:
                self._say("event_moved", "does not stand in its order", event_id, batch)
            reached = place
            first, last = min(first, at_us), max(last, at_us)
        self._reached[batch.tenant_id] = reached
        if complete and (first, last) != (batch.first_us, batch.last_us):
            text = f"seal {batch.batch} is not of the time that it says"
            self._report.add(
                "seal_broken", text, tenant_id=batch.tenant_id, batch=batch.batch,
                checkpoint=batch.checkpoint,
            )  # fmt: skip

    def _not_seen(self, event_id: int, leaf: bytes, batch: Batch) -> None:
        if batch.may_miss:
            self.missing += 1
        elif len(self._owed) < AHEAD:
            self._owed[event_id] = leaf, batch._replace(ids=[], leaves=b"")
        else:  # so many are not where they should be that it does not matter whether they moved
            self._say("event_missing", "is gone", event_id, batch)

    def _let_go(self, most: int) -> None:
        """Of what was read and not asked for, the oldest: it comes late, or never had a seal."""
        old = dict(islice(self._seen.items(), most))
        for event_id in old:
            del self._seen[event_id]
        for event_id in old.keys() & self._owed.keys():
            self._late(event_id, old.pop(event_id))
        self._spool.set_aside(n for n, (_, at_us, _) in old.items() if self._asked(at_us))

    def _late(self, event_id: int, seen: Seen) -> None:
        leaf, batch = self._owed.pop(event_id)
        self._say("event_moved", "does not stand in its order", event_id, batch)
        if seen[2] != leaf:
            self._say("event_changed", "is not what was sealed", event_id, batch)

    def _settle(self) -> None:
        for event_id, (_, batch) in self._owed.items():
            self._say("event_missing", "is gone", event_id, batch)
        for some in self._spool.strays(_CHUNK):
            self._strays(some)

    def _asked(self, at_us: int) -> bool:
        try:
            at = moment(at_us)
        except OverflowError:  # a year that no clock shows
            return True
        return self._span.overlaps(at, at)

    def _strays(self, ids: list[int]) -> None:
        asked = [max(self._restarts, default=0), ids]
        for event_id, tenant, at, impossible, waits in self._connection.execute(_STRAYS, asked):
            where = {"tenant_id": tenant, "event_id": event_id}
            if impossible or not waits:
                self._report.add("event_unsealed", f"event {event_id} is under no seal", **where)
            elif datetime.now(UTC) - at > PATIENCE:
                text = f"event {event_id} has waited for its seal since {at:%Y-%m-%d %H:%M:%S}"
                self._report.add("event_waits", text, **where)
            else:
                self._report.count("waiting")

    def _say(self, kind: str, what: str, event_id: int, batch: Batch) -> None:
        self._report.add(
            kind,
            f"event {event_id} {what}",
            tenant_id=batch.tenant_id,
            event_id=event_id,
            batch=batch.batch,
            checkpoint=batch.checkpoint,
        )
