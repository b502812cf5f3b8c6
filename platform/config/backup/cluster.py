"""The running PostgreSQL that is backed up, as its superuser."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from config.backup_settings import RECEIVER
from config.supervisor.terminal import RunProblem

_IDENTITY = """
    select system_identifier::text, current_setting('server_version'),
           (select setting::bigint from pg_settings where name = 'wal_segment_size')
    from pg_control_system()"""
_KEEP_LOG = "select pg_create_physical_replication_slot('forebay_base', true, true)"


@dataclass(frozen=True, slots=True)
class Cluster:
    programs: Path  # the folder of pg_basebackup and pg_receivewal
    variables: Mapping[str, str]  # by which libpq connects
    system: str  # the identifier of the cluster, which a restore keeps
    segment_bytes: int
    version: str

    @classmethod
    def connect(cls, url: str, programs: Path) -> "Cluster":
        """Raises RunProblem if PostgreSQL does not answer."""
        variables = _variables(url)
        try:
            row = _one_row(variables, _IDENTITY)
        except psycopg.OperationalError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RunProblem(f"PostgreSQL does not answer: {reason}") from None
        system, version, segment_bytes = row
        return cls(programs, variables, system, segment_bytes, version)

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables of a program that connects."""
        return {"PATH": os.environ.get("PATH", ""), **self.variables, "LC_ALL": "C"}

    @contextmanager
    def only_one_base(self) -> Iterator[None]:
        """Keep other processes from making a base backup meanwhile. Raises RunProblem.

        PostgreSQL keeps the log from now on, as pg_basebackup copies it last.
        """
        with self.connection() as connection:
            lock = "select pg_try_advisory_lock(hashtext('forebay base backup'))"
            if connection.execute(lock).fetchone() != (True,):
                raise RunProblem("a base backup is being made already: wait until it has ended")
            connection.execute(_KEEP_LOG)  # a temporary slot, which ends with the connection
            yield

    def connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Returns a new connection, in autocommit. Raises psycopg.OperationalError."""
        return _connect(self.variables)

    def timeline(self) -> int:
        (timeline,) = _one_row(self.variables, "select timeline_id from pg_control_checkpoint()")
        return int(timeline)

    def drop_slot(self) -> None:
        query = "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
        _row(self.variables, f"{query} where slot_name = %s", RECEIVER)


def _variables(url: str) -> dict[str, str]:
    known = conninfo_to_dict(url)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    return {variable: str(known[name]) for name, variable in names.items() if known.get(name)}


def _one_row(variables: Mapping[str, str], query: str, *values: object) -> tuple[Any, ...]:
    row = _row(variables, query, *values)
    assert row is not None
    return row


def _row(variables: Mapping[str, str], query: str, *values: object) -> tuple[Any, ...] | None:
    with _connect(variables) as connection:
        return connection.execute(query, values or None).fetchone()


def _connect(variables: Mapping[str, str]) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        host=variables["PGHOST"],
        port=variables.get("PGPORT", "5432"),
        user=variables["PGUSER"],
        password=variables.get("PGPASSWORD", ""),
        dbname="postgres",
        autocommit=True,
        connect_timeout=5,
    )
