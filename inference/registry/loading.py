"""Puts the engines of PostgreSQL in force in this process."""

from typing import Any

import psycopg

from inference.engines import put_in_force
from inference.models import Engine
from inference.policy import Policy
from inference.pools import Entry

_ENGINES = """
    select m.name, p.name, e.name, e.draining, e.seat, e.kind, e.url, e.api_key, e.slots,
           e.auto_slots, e.hosted, e.options, e.from_file, p.condition,
           p.overflow_after_ms, p.limits, p.window
    from inference_engine e join inference_pool p on p.id = e.pool_id
    join inference_model m on m.id = p.model_id
    where not e.staged
    order by m.position, m.created_at, p.position, p.created_at, e.position, e.created_at"""


def load(connection: psycopg.Connection[Any]) -> bool:
    """Load them. Returns whether anything has changed. Raises psycopg.Error."""
    return put_in_force([_entry(*row) for row in connection.execute(_ENGINES)])


def load_once() -> None:
    """Load them for a command, which ends soon. Raises django.db.DatabaseError."""
    fields = ("position", "created_at")
    order = [f"{table}{field}" for table in ("pool__model__", "pool__", "") for field in fields]
    rows = Engine.objects.filter(staged=False).select_related("pool__model").order_by(*order)
    put_in_force([_of_row(engine) for engine in rows])


def _of_row(engine: Engine) -> Entry:
    pool = engine.pool
    names = (pool.model.name, pool.name, engine.name)
    fields, policy, from_file = engine.fields, pool.policy, engine.from_file
    return Entry(*names, fields, engine.draining, policy, engine.seat, from_file)


def _entry(
    model: str, pool: str, engine: str, draining: bool, seat: str, kind: str, *more: Any
) -> Entry:
    url, api_key, slots, auto_slots, hosted, options, from_file, *policy = more
    columns = {"kind": kind, "url": url, "api_key": api_key, "slots": slots}
    fields = {**options, **columns, "auto_slots": auto_slots, "hosted": hosted}
    return Entry(model, pool, engine, fields, draining, Policy(*policy), seat, from_file)
