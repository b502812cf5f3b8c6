"""What PostgreSQL has is put in force in this process."""

from typing import Any

import psycopg

from inference.engines import put_in_force
from inference.pools import Entry

_ENGINES = """
    select m.name, p.name, e.name, e.draining, e.kind, e.url, e.api_key, e.slots, e.hosted,
           e.options
    from inference_engine e join inference_pool p on p.id = e.pool_id
    join inference_model m on m.id = p.model_id
    order by m.position, m.created_at, p.position, p.created_at, e.position, e.created_at"""


def load(connection: psycopg.Connection[Any]) -> bool:
    """Whether anything has changed. Raises psycopg.Error."""
    return put_in_force([_entry(*row) for row in connection.execute(_ENGINES)])


def _entry(
    model: str, pool: str, engine: str, draining: bool, kind: str, url: str, *more: Any
) -> Entry:
    api_key, slots, hosted, options = more
    columns = {"kind": kind, "url": url, "api_key": api_key, "slots": slots, "hosted": hosted}
    return Entry(model, pool, engine, {**options, **columns}, draining)
