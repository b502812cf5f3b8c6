"""Django's PostgreSQL backend, which waits for a new primary when it connects.

Pages and commands open a connection for each request or task. While the primary changes nobody
takes it, and a page would fail that a second later would not.

PostgreSQL reports a commit as done, with a warning, whose wait for standbys somebody cancelled.
Then the commit waits once more: nobody is told of what one server alone has.
"""

import time
from typing import Any

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base
from psycopg.errors import Diagnostic

from infrastructure.postgres.resilient_connection import NOT_REPLICATED, WAIT_FOR_STANDBYS

PAUSE_S = 0.25


class DatabaseWrapper(base.DatabaseWrapper):
    is_in_doubt = False  # the last commit may be on no standby

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Raises psycopg.OperationalError after FAILOVER_WAIT_S."""
        deadline = time.monotonic() + settings.FAILOVER_WAIT_S
        while True:
            try:
                connection = super().get_new_connection(conn_params)
            except psycopg.OperationalError:
                if time.monotonic() >= deadline:
                    raise
            else:
                connection.add_notice_handler(self._read_notice)
                return connection
            time.sleep(PAUSE_S)

    def _read_notice(self, notice: Diagnostic) -> None:
        if notice.sqlstate in NOT_REPLICATED:
            self.is_in_doubt = True

    def commit(self) -> None:
        super().commit()
        while self.is_in_doubt:
            self.is_in_doubt = False
            with self.wrap_database_errors:
                self.connection.execute(WAIT_FOR_STANDBYS)
                self.connection.commit()
