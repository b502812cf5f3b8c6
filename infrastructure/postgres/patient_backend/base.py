"""Django's PostgreSQL backend, which waits for a new primary when it connects.

Pages and commands open a connection for each request or task. While the primary changes nobody
takes it, and a page would fail that a second later would not.
"""

import time
from typing import Any

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base

PAUSE_S = 0.25


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Raises psycopg.OperationalError after FAILOVER_WAIT_S."""
        deadline = time.monotonic() + settings.FAILOVER_WAIT_S
        while True:
            try:
                return super().get_new_connection(conn_params)
            except psycopg.OperationalError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(PAUSE_S)
