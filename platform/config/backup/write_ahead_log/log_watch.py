"""Watches the write-ahead log over one connection.

A connection for each look, one a second, costs PostgreSQL a process and a password's hash: more
CPU than the log itself.
"""

import time
from dataclasses import dataclass
from typing import Any

import psycopg

from config.backup.cluster import Cluster
from config.backup.write_ahead_log.positions import position
from config.backup_settings import RECEIVER

_LOOK = """
    select pg_current_wal_flush_lsn()::text,
           (select coalesce(wal_status, 'new') from pg_replication_slots where slot_name = %s),
           (select write_lsn::text from pg_stat_replication r
            join pg_replication_slots s on s.active_pid = r.pid where slot_name = %s)"""


@dataclass(frozen=True, slots=True)
class Look:
    at: float  # a moment before all that it says
    written: int  # the position up to which the log is on the primary's disk
    slot_state: str  # "" without a slot, "new", or PostgreSQL's wal_status, "lost" among them
    received: int | None  # up to which the receiver has said it wrote; None if it is away


class LogWatch:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def look(self) -> Look:
        """Raises psycopg.Error. A connection that PostgreSQL has ended is opened anew."""
        at = time.time()
        written, slot_state, received = self._row()
        return Look(
            at, position(written), slot_state or "", position(received) if received else None
        )

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _row(self) -> tuple[Any, ...]:
        if self._connection is None:
            self._connection = self._cluster.connection()
        try:
            row = self._connection.execute(_LOOK, (RECEIVER, RECEIVER)).fetchone()
        except psycopg.OperationalError:
            self.close()
            self._connection = self._cluster.connection()
            row = self._connection.execute(_LOOK, (RECEIVER, RECEIVER)).fetchone()
        assert row is not None
        return row
