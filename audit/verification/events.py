"""Compares every event with its leaf, to show changed, missing and never sealed events."""

from array import array
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from operator import lt
from typing import cast
from uuid import UUID

from audit.trail.canonical import moment
from audit.verification.report import SectionResult
from audit.verification.rows import (
    Cut,
    Row,
    Trail,
    VerificationRange,
    conditions,
    in_order,
    restarts,
)
from audit.verification.spool import Spool, SpooledBatch

PATIENCE = timedelta(seconds=60)  # the longest that an event may wait for its seal
_STRAYS = """
    select id, tenant_id, at, xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
           (xid, id) > (select coalesce(max(xid), 0), coalesce(max(event_id), 0)
                        from audit_sealmark) and id > %s
    from audit_event where id = any(%s)"""
_CHUNK = 2_000
AHEAD = 20_000  # events to read ahead, and hold in memory, if one is not in its place
_LEAF = sha256(b"\x00")  # copied, it begins a leaf's hash faster than a new one does

Unclaimed = tuple[int, int, bytes]  # position in sealing order, microseconds, leaf


class Events:
    """Matches the events in sealing order with the batches of the seals in the same order."""

    def __init__(
        self, connection: Trail, span: VerificationRange, spool: Spool, result: SectionResult
    ) -> None:
        self._connection, self._span, self._spool = connection, span, spool
        self._result, self._report = result, result.report
        self._restarts = restarts(connection)
        self._unclaimed: dict[int, Unclaimed] = {}  # read, and in no batch so far
        self._read_count = 0
        self._awaited: dict[int, tuple[bytes, SpooledBatch]] = {}  # in a batch, and not read so far
        self._reached: dict[UUID, int] = {}  # by tenant: the position of its last event

    def match(self, after: Cut | None = None, upto: Cut | None = None) -> None:
        """Matches all events between two cuts in sealing order."""
        parts = conditions(self._restarts, after, upto)
        rows = in_order(self._connection, self._span, parts, self._spool.reach)
        for batches in self._spool.rounds():
            self._read_ahead(rows, batches)
            for batch in batches:
                if not self._matches(batch):
                    self._one_by_one(batch)
            if len(self._unclaimed) > AHEAD:
                self._release(len(self._unclaimed) - AHEAD)
        while self._read(rows, _CHUNK):
            self._release(len(self._unclaimed))
        self._release(len(self._unclaimed))
        for event_id, (_, batch) in self._awaited.items():
            self._add("event_missing", "is gone", event_id, batch)
        for ids in self._spool.strays(_CHUNK):
            self._strays(ids)

    def _read_ahead(self, rows: Iterator[Row], batches: list[SpooledBatch]) -> None:
        """Reads until the round's events are there, or are too far away to be expected."""
        wanted = sum(len(batch.ids) for batch in batches)
        self._read(rows, max(0, wanted - len(self._unclaimed)))
        ids = [event_id for batch in batches if not batch.may_miss for event_id in batch.ids]
        while not all(map(self._unclaimed.__contains__, ids)):
            if len(self._unclaimed) >= wanted + AHEAD or not self._read(rows, wanted):
                break

    def _read(self, rows: Iterator[Row], most: int) -> bool:
        """Reads up to `most` events. Returns False if there are no more."""
        position = before = self._read_count
        for event_id, at_us, line in islice(rows, most):
            leaf = _LEAF.copy()
            leaf.update(line)
            self._unclaimed[event_id] = position, at_us, leaf.digest()
            position += 1
        self._read_count = position
        return position > before

    def _matches(self, batch: SpooledBatch) -> bool:
        """Returns True if the whole batch is present, unchanged, and in its order and time."""
        events = [self._unclaimed.get(event_id) for event_id in batch.ids]
        if not events or None in events:
            return False
        positions, times, leaves = zip(*cast(list[Unclaimed], events), strict=True)
        reached = self._reached.get(batch.tenant_id, -1)
        if (
            b"".join(leaves) != batch.leaves
            or (min(times), max(times)) != (batch.first_us, batch.last_us)
            or not all(map(lt, (reached, *positions), positions))
        ):
            return False
        self._reached[batch.tenant_id] = positions[-1]
        for event_id in batch.ids:
            del self._unclaimed[event_id]
        return True

    def _one_by_one(self, batch: SpooledBatch) -> None:
        first, last, complete = 2**62, -(2**62), True
        reached = self._reached.get(batch.tenant_id, -1)
        for n, event_id in enumerate(batch.ids):
            leaf = batch.leaves[32 * n : 32 * n + 32]
            event = self._unclaimed.pop(event_id, None)
            if event is None:
                complete = False
                self._absent(event_id, leaf, batch)
                continue
            position, at_us, event_leaf = event
            if event_leaf != leaf:
                self._add("event_changed", "is not what was sealed", event_id, batch)
            if position <= reached:
                self._add("event_moved", "does not stand in its order", event_id, batch)
            reached = position
            first, last = min(first, at_us), max(last, at_us)
        self._reached[batch.tenant_id] = reached
        if complete and (first, last) != (batch.first_us, batch.last_us):
            text = f"seal {batch.batch} is not of the time that it says"
            self._report.add_of(batch, "seal_broken", text)

    def _absent(self, event_id: int, leaf: bytes, batch: SpooledBatch) -> None:
        if batch.may_miss:
            self._result.lacking += 1
        elif len(self._awaited) < AHEAD:
            self._awaited[event_id] = leaf, batch._replace(ids=array("q"), leaves=b"")
        else:  # with so many out of place it does not matter whether this one moved
            self._add("event_missing", "is gone", event_id, batch)

    def _release(self, most: int) -> None:
        """Gives up the oldest unclaimed events: each is late in its batch, or was never sealed."""
        old = dict(islice(self._unclaimed.items(), most))
        for event_id in old:
            del self._unclaimed[event_id]
        for event_id in old.keys() & self._awaited.keys():
            self._late(event_id, old.pop(event_id))
        self._spool.set_aside(n for n, (_, at_us, _) in old.items() if self._in_range(at_us))

    def _late(self, event_id: int, unclaimed: Unclaimed) -> None:
        leaf, batch = self._awaited.pop(event_id)
        self._add("event_moved", "does not stand in its order", event_id, batch)
        if unclaimed[2] != leaf:
            self._add("event_changed", "is not what was sealed", event_id, batch)

    def _in_range(self, at_us: int) -> bool:
        try:
            at = moment(at_us)
        except OverflowError:  # a year that no clock can show
            return True
        return self._span.overlaps(at, at)

    def _strays(self, ids: list[int]) -> None:
        values = [max(self._restarts, default=0), ids]
        for event_id, tenant, at, impossible, waits in self._connection.execute(_STRAYS, values):
            where = {"tenant_id": tenant, "event_id": event_id}
            if impossible or not waits:
                self._report.add("event_unsealed", f"event {event_id} is under no seal", **where)
            elif datetime.now(UTC) - at > PATIENCE:
                text = f"event {event_id} has waited for its seal since {at:%Y-%m-%d %H:%M:%S}"
                self._report.add("event_waits", text, **where)
            else:
                self._report.count("waiting")

    def _add(self, kind: str, what: str, event_id: int, batch: SpooledBatch) -> None:
        self._report.add_of(batch, kind, f"event {event_id} {what}", event_id=event_id)
