"""What the trail itself says of restores: it explains what a witness has heard beyond them."""

from collections.abc import Iterator
from typing import Any

import psycopg

_ACTS = """
    select at, (detail->>'lost_checkpoints')::bigint, (detail->>'checkpoint')::bigint
    from audit_event where action = 'audit:resume' and detail->>'lost_checkpoints' <> '0'
    order by at"""
RESTARTS = """
    select (detail->>'after_id')::bigint from audit_event
    where action = 'audit:resume' and detail->>'after_id' is not null order by 1"""


def restores(connection: psycopg.Connection[Any]) -> Iterator[str]:
    for at, lost, checkpoint in connection.execute(_ACTS):
        yield (
            f"audit:resume of {at:%Y-%m-%d %H:%M:%S} says that a restore lost the {lost} "
            f"checkpoints after {checkpoint}, which a witness had heard"
        )


def restarts(connection: psycopg.Connection[Any]) -> list[int]:
    """After these ids the count of transactions began anew. Where the mark is lost, acts say it."""
    found = connection.execute("select restarts from audit_sealmark").fetchone()
    return sorted(found[0]) if found else [row[0] for row in connection.execute(RESTARTS)]
