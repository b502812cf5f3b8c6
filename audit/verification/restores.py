"""Restores that the trail records, which explain checkpoints that only a witness knows."""

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
    """Returns the last event ids before each restart of the transaction counter.

    They come from the mark, or from acts if the mark is lost.
    """
    mark = connection.execute("select restarts from audit_sealmark").fetchone()
    return sorted(mark[0]) if mark else [row[0] for row in connection.execute(RESTARTS)]
