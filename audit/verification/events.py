"""Every event against its leaf: none changed, none gone, none that never came under seal."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from audit.canonical import LINE, moment
from audit.models import PLATFORM
from audit.verification.report import Report
from audit.verification.span import Span
from audit.verification.spool import Batch, Spool

PATIENCE = timedelta(seconds=60)  # so long an event may wait for its seal
_COLUMNS = f"id, (extract(epoch from at) * 1000000)::bigint, {LINE}"
_STRAYS = """
    select id, tenant_id, at, xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
           (xid, id) > (select coalesce(max(xid), 0), coalesce(max(event_id), 0)
                        from audit_sealmark)
    from audit_event where id = any(%s)"""
_CHUNK = 10_000
AHEAD = 20_000  # events that are read on when one is not where it should be
_EPOCH = moment(0)


class Seen(NamedTuple):
    place: int  # in the order of sealing
    at_us: int
    leaf: bytes


class Events:
    """The events in the order of sealing beside what the seals promise in the same order."""

    def __init__(
        self, connection: psycopg.Connection[Any], span: Span, spool: Spool, report: Report
    ) -> None:
        self._connection, self._span, self._spool = connection, span, spool
        self._report = report
        self._seen: dict[int, Seen] = {}  # read, and not yet asked for
        self._owed: dict[int, tuple[bytes, Batch]] = {}  # asked for, and not yet seen
        self._reached: dict[UUID, int] = {}  # by tenant: the place of its last event
        self.missing = 0  # in batches that may miss some

    def match(self) -> None:
        rows = self._rows()
        for batches in self._spool.rounds():
            self._read_on(rows, batches)
            for batch in batches:
                self._batch(batch)
        self._seen.update(rows)
        self._settle()

    def _read_on(self, rows: Iterator[tuple[int, Seen]], batches: list[Batch]) -> None:
        """So far that the round is there, or until it cannot be expected any more."""
        wanted = sum(len(batch.ids) for batch in batches)
        self._seen.update(islice(rows, max(0, wanted - len(self._seen))))
        ids = [event_id for batch in batches if not batch.may_miss for event_id in batch.ids]
        while len(self._seen) < wanted + AHEAD and not all(map(self._seen.__contains__, ids)):
            before = len(self._seen)
            self._seen.update(islice(rows, wanted))
            if len(self._seen) == before:
                break

    def _rows(self) -> Iterator[tuple[int, Seen]]:
        with self._connection.cursor() as cursor, cursor.copy(self._statement()) as copy:
            for place, row in enumerate(copy):
                event_id, at_us, line = bytes(row)[:-1].split(b"\t", 2)
                if b"\\" in line:
                    line = line.replace(b"\\\\", b"\\")
                leaf = sha256(b"\x00" + line).digest()
                yield int(event_id), Seen(place, int(at_us), leaf)

    def _batch(self, batch: Batch) -> None:
        first, last, complete = 2**62, -(2**62), True
        reached = self._reached.get(batch.tenant_id, -1)
        for n, event_id in enumerate(batch.ids):
            leaf = batch.leaves[32 * n : 32 * n + 32]
            seen = self._seen.pop(event_id, None)
            if seen is None:
                complete = False
                self._not_seen(event_id, leaf, batch)
                continue
            if seen.leaf != leaf:
                self._say("event_changed", "is not what was sealed", event_id, batch)
            if seen.place <= reached:
                self._say("event_moved", "does not stand in its order", event_id, batch)
            reached = seen.place
            first, last = min(first, seen.at_us), max(last, seen.at_us)
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
        else:
            self._owed[event_id] = leaf, batch

    def _settle(self) -> None:
        for event_id, (leaf, batch) in self._owed.items():
            seen = self._seen.pop(event_id, None)
            if seen is None:
                self._say("event_missing", "is gone", event_id, batch)
                continue
            self._say("event_moved", "does not stand in its order", event_id, batch)
            if seen.leaf != leaf:
                self._say("event_changed", "is not what was sealed", event_id, batch)
        strays = [event_id for event_id, seen in self._seen.items() if self._asked(seen.at_us)]
        for start in range(0, len(strays), _CHUNK):
            self._strays(strays[start : start + _CHUNK])

    def _asked(self, at_us: int) -> bool:
        try:
            at = moment(at_us)
        except OverflowError:  # a year that no clock shows
            return True
        return self._span.overlaps(at, at)

    def _strays(self, ids: list[int]) -> None:
        for event_id, tenant, at, impossible, waits in self._connection.execute(_STRAYS, [ids]):
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

    def _statement(self) -> Any:
        """COPY takes no parameters."""
        conditions = ["true"]
        if self._span.tenant_id:
            conditions.append(f"coalesce(tenant_id, '{PLATFORM}') = '{self._span.tenant_id}'")
        if reach := self._reach():
            conditions.append("at between '{}' and '{}'".format(*(m.isoformat() for m in reach)))
        where = " and ".join(conditions)
        return f"copy (select {_COLUMNS} from audit_event where {where} order by xid, id) to stdout"

    def _reach(self) -> tuple[datetime, datetime] | None:
        """So far as the batches reach that have something of the time that is asked for."""
        span = self._span
        if span.since is None and span.until is None:
            return None
        reach = self._spool.reach()
        moments = [moment(us) for us in reach or ()]
        return (
            min([*moments, span.since or _EPOCH]),
            max([*moments, span.until or datetime.now(UTC)]),
        )
