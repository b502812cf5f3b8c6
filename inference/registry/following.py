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
from uuid import UUID

import psycopg
from django.conf import settings
from django.dispatch import Signal

from inference.engine_entries import EngineEntry
from inference.engines import adapters, aliases, forget, put_in_force
from inference.engines.adapters import AdapterInForce
from inference.engines.aliases import AliasInForce
from inference.models import Engine
from inference.order import OrderAdapter
from inference.pool_policy import PoolPolicy

# One that an operator resumes while its GPU is lent serves when its server is back: see
# `Engine.is_away`.
_ENGINES = """
    select m.name, p.name, e.name,
           e.draining or e.lent_since is not null
               or (e.returning_since is not null and e.starting_since is not null),
           e.seat, e.kind, e.url, e.api_key, e.slots,
           e.auto_slots, e.hosted, e.options, e.from_file, m.only_for, p.condition,
           p.overflow_after_ms, p.limits, p.window, p.lending,
           e.lent_since is not null and e.gpu_free and e.returning_since is null
    from inference_engine e join inference_pool p on p.id = e.pool_id
    join inference_model m on m.id = p.model_id
    where not e.staged
    order by m.position, m.created_at, p.position, p.created_at, e.position, e.created_at"""
_ADAPTERS = """
    select a.tenant_id, a.base, extract(epoch from a.created_at)::bigint,
           a.name, v.id, v.name || '@' || v.number, p.formats
    from inference_adapterpromotion p join inference_adapter a on a.id = p.adapter_id
    join inference_modelversion v on v.id = p.version_id
    where p.step = 'serving' and a.removed_at is null and v.state = 'ready'
    order by a.base, a.name"""
_ALIASES = """
    select tenant_id, name, model, extract(epoch from created_at)::bigint
    from inference_modelalias order by tenant_id, name"""
# Requests that wait are older than that.
_ENDED = """
    select p.version_id
    from inference_adapterpromotion p join inference_adapter a on a.id = p.adapter_id
    join inference_modelversion v on v.id = p.version_id
    group by p.version_id, v.state, v.deleted_at
    having (v.state = 'deleted' and v.deleted_at > now() - interval '2 days')
        or (bool_and(a.removed_at is not null) and max(a.removed_at) > now() - interval '2 days')"""
log = logging.getLogger(__name__)
CHANNEL = "forebay_registry"
LOOK_S = 30.0
AGAIN_S = 0.5
PAUSE_S = 0.2  # between two readings: any database user can send endless notifications
changed = Signal()


def load(connection: psycopg.Connection[Any]) -> bool:
    """Load them. Returns whether anything has changed. Raises psycopg.Error."""
    load_adapters(connection)
    load_aliases(connection)
    return put_in_force([_entry(*row) for row in connection.execute(_ENGINES)])


def load_adapters(connection: psycopg.Connection[Any]) -> None:
    """Load the adapters that serve, before their engines drop any. Raises psycopg.Error."""
    rows = [_adapter(*row) for row in connection.execute(_ADAPTERS)]
    adapters.put_in_force(rows, [version for (version,) in connection.execute(_ENDED)])


def load_aliases(connection: psycopg.Connection[Any]) -> None:
    """Load the aliases of all tenants. Raises psycopg.Error."""
    aliases.put_in_force(AliasInForce(*row) for row in connection.execute(_ALIASES))


def load_once() -> None:
    """Load them for a command, which ends soon. Raises django.db.DatabaseError."""
    fields = ("position", "created_at")
    order = [f"{table}{field}" for table in ("pool__model__", "pool__", "") for field in fields]
    rows = Engine.objects.filter(staged=False).select_related("pool__model").order_by(*order)
    put_in_force([entry_of(engine) for engine in rows])


def entry_of(engine: Engine) -> EngineEntry:
    """Returns the entry of an engine's row."""
    pool = engine.pool
    names = (pool.model.name, pool.name, engine.name)
    fields, policy, only_for = engine.fields, pool.policy, pool.model.only_for
    own = engine.seat, engine.from_file, only_for
    draining = engine.draining or engine.is_away
    return EngineEntry(*names, fields, draining, engine.takes_jobs, policy, *own)


def _entry(
    model: str, pool: str, engine: str, draining: bool, seat: str, kind: str, *more: Any
) -> EngineEntry:
    url, api_key, slots, auto_slots, hosted, options, from_file, only_for, *policy, lent = more
    columns = {"kind": kind, "url": url, "api_key": api_key, "slots": slots}
    fields = {**options, **columns, "auto_slots": auto_slots, "hosted": hosted}
    own = (fields, draining, lent, PoolPolicy(*policy), seat, from_file, only_for)
    return EngineEntry(model, pool, engine, *own)


def _adapter(tenant_id: UUID, base: str, created: int, *adapter: Any) -> AdapterInForce:
    return AdapterInForce(tenant_id, base, created, OrderAdapter(*adapter))


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
        adapters.put_in_force([], [])
        aliases.put_in_force([])
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
        # Adapters are rows of tenants: only the system's scope shows those of all.
        options = {**settings.DATABASE_PATIENCE, **settings.SEES_ALL}
        return psycopg.connect(self._dsn, autocommit=True, application_name=CHANNEL, **options)


def _has_notification(connection: psycopg.Connection[Any]) -> bool:
    """Returns whether there is one, also of those received with an answer, which poll misses."""
    return bool(list(connection.notifies(timeout=0)) or connection.pgconn.notifies())
