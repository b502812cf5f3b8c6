"""Keeps what is in force in this process as PostgreSQL has it: triggers tell of each change.

One thread and one connection of each process, which sleep until there is something. Whenever the
connection is new, and every LOOK_S in any case, everything is read, so that a notification that was
lost does no lasting harm. While PostgreSQL is away, what was read last stays in force.
"""

import logging
import os
import select
import time
from threading import Event, Thread
from typing import Any

import psycopg
from django.conf import settings
from django.dispatch import Signal

from inference.engines import forget
from inference.registry.loading import load

log = logging.getLogger(__name__)
CHANNEL = "forebay_registry"
LOOK_S = 30.0
AGAIN_S = 0.5
PAUSE_S = 0.2  # between two readings: anybody with SQL can send notifications without end
changed = Signal()


class Following:
    """Of one process. It sends `changed`, in its thread, after each change."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._stop, self._lost = Event(), False
        self._bell = os.eventfd(0)  # rings at the end, for a thread that waits
        self._thread = Thread(target=self._run, name="registry", daemon=True)

    def start(self) -> None:
        """Returns when what PostgreSQL has is in force. Raises psycopg.Error."""
        with self._connected() as connection:
            load(connection)
        self._thread.start()

    def stop(self) -> None:
        """What FOREBAY_ENGINES names is in force again."""
        self._stop.set()
        os.eventfd_write(self._bell, 1)
        if self._thread.ident:
            self._thread.join(10)
        if not self._thread.is_alive():
            os.close(self._bell)
        forget()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (psycopg.Error, OSError) as problem:
                if not self._lost:
                    log.warning("cannot hear of changed engines, those known stay: %s", problem)
                self._lost = True
            except Exception:
                log.exception("cannot put the engines in force")
            self._stop.wait(AGAIN_S)

    def _follow(self) -> None:
        with self._connected() as connection:
            connection.execute(f"listen {CHANNEL}")
            if self._lost:
                log.warning("changes of engines are heard again")
            self._lost = False
            while not self._stop.is_set():
                began = time.monotonic()
                if load(connection):
                    changed.send(self)
                if not _was_told(connection):  # meanwhile
                    self._wait(connection)
                self._stop.wait(max(0.0, began + PAUSE_S - time.monotonic()))

    def _wait(self, connection: psycopg.Connection[Any]) -> None:
        """For a notification, but for LOOK_S at most. psycopg itself would wake too often."""
        waiting = select.poll()
        for descriptor in (connection.fileno(), self._bell):
            waiting.register(descriptor, select.POLLIN)
        if waiting.poll(LOOK_S * 1000) and not self._stop.is_set():
            _was_told(connection)

    def _connected(self) -> psycopg.Connection[Any]:
        patience = settings.DATABASE_PATIENCE
        return psycopg.connect(self._dsn, autocommit=True, application_name=CHANNEL, **patience)


def _was_told(connection: psycopg.Connection[Any]) -> bool:
    """Also of what came along with an answer: the socket says nothing of that any more."""
    return bool(list(connection.notifies(timeout=0)) or connection.pgconn.notifies())
