"""Keeps the engines in force equal to PostgreSQL's: triggers notify of each change.

Each process has one thread and one connection for it, which sleep until there is a change. On a new
connection, and every LOOK_S, all is read, so that a lost notification does no lasting harm. While
PostgreSQL is away, the last state stays in force.
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

from inference.engine_entries import EngineEntry
from inference.engines import forget, put_in_force
from inference.models import Engine
from inference.pool_policy import PoolPolicy

_ENGINES = """
    select m.name, p.name, e.name, e.draining, e.seat, e.kind, e.url, e.api_key, e.slots,
           e.auto_slots, e.hosted, e.options, e.from_file, p.condition,
           p.overflow_after_ms, p.limits, p.window
    from inference_engine e join inference_pool p on p.id = e.pool_id
    join inference_model m on m.id = p.model_id
    where not e.staged
    order by m.position, m.created_at, p.position, p.created_at, e.position, e.created_at"""
log = logging.getLogger(__name__)
CHANNEL = "forebay_registry"
LOOK_S = 30.0
AGAIN_S = 0.5
PAUSE_S = 0.2  # between two readings: any database user can send endless notifications
changed = Signal()


def load(connection: psycopg.Connection[Any]) -> bool:
    """Load them. Returns whether anything has changed. Raises psycopg.Error."""
    return put_in_force([_entry(*row) for row in connection.execute(_ENGINES)])


def load_once() -> None:
    """Load them for a command, which ends soon. Raises django.db.DatabaseError."""
    fields = ("position", "created_at")
    order = [f"{table}{field}" for table in ("pool__model__", "pool__", "") for field in fields]
    rows = Engine.objects.filter(staged=False).select_related("pool__model").order_by(*order)
    put_in_force([_of_row(engine) for engine in rows])


def _of_row(engine: Engine) -> EngineEntry:
    pool = engine.pool
    names = (pool.model.name, pool.name, engine.name)
    fields, policy, from_file = engine.fields, pool.policy, engine.from_file
    return EngineEntry(*names, fields, engine.draining, policy, engine.seat, from_file)


def _entry(
    model: str, pool: str, engine: str, draining: bool, seat: str, kind: str, *more: Any
) -> EngineEntry:
    url, api_key, slots, auto_slots, hosted, options, from_file, *policy = more
    columns = {"kind": kind, "url": url, "api_key": api_key, "slots": slots}
    fields = {**options, **columns, "auto_slots": auto_slots, "hosted": hosted}
    return EngineEntry(model, pool, engine, fields, draining, PoolPolicy(*policy), seat, from_file)


class Following:
    """The follower of one process. It sends `changed`, in its thread, after each change."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._stop, self._lost = Event(), False
        self._bell = os.eventfd(0)  # wakes the waiting thread at the end
        self._thread = Thread(target=self._run, name="registry", daemon=True)

    def start(self) -> None:
        """Load the engines and start the thread. Raises psycopg.Error."""
        with self._connected() as connection:
            load(connection)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. The engines of FOREBAY_ENGINES are in force again."""
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
                if not _has_notification(connection):  # arrived meanwhile
                    self._wait(connection)
                self._stop.wait(max(0.0, began + PAUSE_S - time.monotonic()))

    def _wait(self, connection: psycopg.Connection[Any]) -> None:
        """Wait for a notification, LOOK_S at most. psycopg itself would wake too often."""
        waiting = select.poll()
        for descriptor in (connection.fileno(), self._bell):
            waiting.register(descriptor, select.POLLIN)
        if waiting.poll(LOOK_S * 1000) and not self._stop.is_set():
            _has_notification(connection)

    def _connected(self) -> psycopg.Connection[Any]:
        patience = settings.DATABASE_PATIENCE
        return psycopg.connect(self._dsn, autocommit=True, application_name=CHANNEL, **patience)


def _has_notification(connection: psycopg.Connection[Any]) -> bool:
    """Returns whether there is one, also of those received with an answer, which poll misses."""
    return bool(list(connection.notifies(timeout=0)) or connection.pgconn.notifies())
