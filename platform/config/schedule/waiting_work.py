"""The tasks that have something to do: one statement to PostgreSQL and a few commands to Redis.

Of several beats, on hosts that have the role `jobs`, the one that holds a lock of PostgreSQL sends.
"""

import logging
import time
from typing import Any

import psycopg
from django.conf import settings

from audit import due_tasks as of_audit
from audit.witnesses.delivery import name_of
from inference import due_tasks as of_inference

log = logging.getLogger(__name__)
IN_DATABASE = {**of_audit.IN_DATABASE, **of_inference.IN_DATABASE}
AGAIN_S = 5.0  # after the database did not answer
# Statistics must not lead to a plan that reads a whole table, nor a lock hold up beat.
_OPTIONS = (
    f"{settings.SEES_ALL['options']} -c statement_timeout=2000 "
    "-c enable_seqscan=off -c enable_bitmapscan=off -c default_transaction_read_only=on"
)
_CASES = ", ".join(f"case when {sql} then '{task}' end" for task, sql in IN_DATABASE.items())
_WAITING = f"select array_remove(array[{_CASES}], null)"
_LEADS = "select pg_try_advisory_lock(%s)"
_LOCK = 0x464F5242  # "FORB"


class WaitingWork:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[Any] | None = None
        self._away_until = float("-inf")
        self.leads = True  # also while PostgreSQL is away
        self._parameters = {"witnesses": [name_of(url) for url in settings.WITNESSES]}

    def tasks(self) -> set[str]:
        """Returns the names of tasks with waiting work, none while another beat sends them.

        Tasks whose state is unknown count as waiting.
        """
        in_database = self._in_database()
        return in_database | of_audit.in_redis() | of_inference.in_redis() if self.leads else set()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self.leads = True
        if connection:
            connection.close()

    def _in_database(self) -> set[str]:
        if time.monotonic() < self._away_until:
            return set(IN_DATABASE)
        try:
            return self._query()
        except psycopg.Error as problem:
            log.warning("cannot look for work: %s", problem)
            self._away_until = time.monotonic() + AGAIN_S
            self.close()
            return set(IN_DATABASE)

    def _query(self) -> set[str]:
        if self._connection is None:
            patience = {**settings.DATABASE_PATIENCE, "options": _OPTIONS}
            self._connection = psycopg.connect(self._dsn, autocommit=True, **patience)
            self.leads = False
        if not self.leads:
            lock = self._connection.execute(_LEADS, [_LOCK], prepare=True).fetchone()
            self.leads = bool(lock and lock[0])
        if not self.leads:
            return set()
        row = self._connection.execute(_WAITING, self._parameters, prepare=True).fetchone()
        assert row
        return set(row[0])
