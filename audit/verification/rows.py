"""Reads the events from the database in sealing order."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.types.string import ByteaBinaryLoader

from audit.platform import PLATFORM
from audit.trail.canonical import LINE, moment
from audit.verification.time_range import TimeRange

Row = tuple[int, int, bytes]  # its id, its time in microseconds, its line
AT_ONCE = 500  # rows per fetch

_COLUMNS = f"id, (extract(epoch from at) * 1000000)::bigint, {LINE}::text"
_ROWS = "select {} from audit_event where {} order by xid, id"
# Any other plan would compute all lines first and sort them on disk.
_BY_INDEX = """
    select set_config(name, 'off', true) from pg_settings
    where name in ('enable_seqscan', 'enable_bitmapscan')"""
_EPOCH = moment(0)


def in_order(
    connection: psycopg.Connection[Any],
    span: TimeRange,
    parts: Iterable[str],
    reach: tuple[int, int] | None,
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


def _limits(span: TimeRange, reach: tuple[int, int] | None) -> Iterator[str]:
    if span.tenant_id:
        yield f"coalesce(tenant_id, '{PLATFORM}') = '{span.tenant_id}'"
    if span.since is not None or span.until is not None:
        moments = [moment(us) for us in reach or ()]
        first = min([*moments, span.since or _EPOCH])
        last = max([*moments, span.until or datetime.now(UTC)])
        yield f"at between '{first.isoformat()}' and '{last.isoformat()}'"


@contextmanager
def _planned(connection: psycopg.Connection[Any], *, by_index: bool) -> Iterator[None]:
    if not by_index:
        yield
        return
    with connection.transaction(force_rollback=True):
        connection.execute(_BY_INDEX)
        yield
