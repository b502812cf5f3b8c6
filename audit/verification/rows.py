"""Reads events in sealing order: all of them, those between two positions, or those of a range."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.types.string import ByteaBinaryLoader

from audit.platform import PLATFORM
from audit.trail.canonical import LINE, moment

Trail = psycopg.Connection[Any]
Row = tuple[int, int, bytes]  # its id, its time in microseconds, its line
AT_ONCE = 500  # rows per fetch
RESTARTS = """
    select (detail->>'after_id')::bigint from audit_event
    where action = 'audit:resume' and detail->>'after_id' is not null order by 1"""
_COLUMNS = f"id, (extract(epoch from at) * 1000000)::bigint, {LINE}::text"
_ROWS = "select {} from audit_event where {} order by xid, id"
# Any other plan would compute all lines first and sort them on disk.
_BY_INDEX = """
    select set_config(name, 'off', true) from pg_settings
    where name in ('enable_seqscan', 'enable_bitmapscan')"""
_EPOCH = moment(0)
_EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class VerificationRange:
    """The range of a verification: everything, one tenant, or a span of time."""

    tenant_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def is_all(self) -> bool:
        return self.tenant_id is None and self.since is None and self.until is None

    def overlaps(self, first: datetime, last: datetime) -> bool:
        return last >= (self.since or _EVER[0]) and first < (self.until or _EVER[1])


class Cut(NamedTuple):
    """A position after an event; `restarts` of the transaction counter came before it."""

    restarts: int
    xid: int
    event_id: int


def restarts(connection: Trail) -> list[int]:
    """Returns the last event ids before each restart of the transaction counter.

    They come from the mark, or from acts if the mark is lost.
    """
    mark = connection.execute("select restarts from audit_sealmark").fetchone()
    return sorted(mark[0]) if mark else [row[0] for row in connection.execute(RESTARTS)]


def conditions(
    restarts: list[int], after: Cut | None = None, upto: Cut | None = None
) -> Iterator[str]:
    """Yields SQL conditions for the events between two cuts, one per run of the counter."""
    begins = ["true", *(f"id > {restart}" for restart in restarts)]
    ends = [*(f"id <= {restart}" for restart in restarts), "true"]
    for count, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if (after and count < after.restarts) or (upto and count > upto.restarts):
            continue
        parts = [begin, end]
        if after and count == after.restarts:
            parts.append(f"(xid, id) > ({after.xid}, {after.event_id})")
        if upto and count == upto.restarts:
            parts.append(f"(xid, id) <= ({upto.xid}, {upto.event_id})")
        yield " and ".join(parts)


def in_order(
    connection: Trail, span: VerificationRange, parts: Iterable[str], reach: tuple[int, int] | None
) -> Iterator[Row]:
    """Yields rows that meet each of `parts`, SQL conditions, one after the other.

    `reach`: the first and last microsecond of batches that overlap the time range.
    """
    limits = list(_limits(span, reach))
    for part in parts:
        statement = _ROWS.format(_COLUMNS, " and ".join([part, *limits]))
        with _planned(connection, by_index=not limits), connection.cursor() as cursor:
            cursor.adapters.register_loader("text", ByteaBinaryLoader)
            yield from cursor.stream(statement.encode(), binary=True, size=AT_ONCE)


def _limits(span: VerificationRange, reach: tuple[int, int] | None) -> Iterator[str]:
    if span.tenant_id:
        yield f"coalesce(tenant_id, '{PLATFORM}') = '{span.tenant_id}'"
    if span.since is not None or span.until is not None:
        moments = [moment(us) for us in reach or ()]
        first = min([*moments, span.since or _EPOCH])
        last = max([*moments, span.until or datetime.now(UTC)])
        yield f"at between '{first.isoformat()}' and '{last.isoformat()}'"


@contextmanager
def _planned(connection: Trail, *, by_index: bool) -> Iterator[None]:
    if not by_index:
        yield
        return
    with connection.transaction(force_rollback=True):
        connection.execute(_BY_INDEX)
        yield
