"""Texts go after their keys, and months after their time: the only two ways out of the trail.

The rules stand in the database (sql/2_append_only.sql); these are their names in Python.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction

ON_HOLD = "AU001"


class Kept(Exception):
    """A legal hold is in force over what was to go: nothing of it went."""


def erase_texts(key_ids: Iterable[UUID]) -> int:
    """Deletes what destroyed keys sealed. Raises Kept; DatabaseError when a key is still there."""
    return int(_call("select audit_erase_texts(%s::uuid[])", [list(key_ids)]))


def prune_month(table: str, month: date) -> int:
    """Drops a month of audit_event or audit_payload: how many rows. Raises Kept; DatabaseError
    when it is too young, or not under seal."""
    return int(_call("select audit_prune_month(%s, %s::date)", [table, month]))


def prune_texts(tenant_id: UUID, most: int) -> int:
    """Deletes texts past their tenant's retention and not on hold, up to `most`: how many."""
    return int(_call("select audit_prune_texts(%s, %s)", [tenant_id, most]))


def _call(statement: str, values: list[Any]) -> Any:
    with _kept(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]


@contextmanager
def _kept() -> Iterator[None]:
    try:
        yield
    except DatabaseError as problem:
        if getattr(problem.__cause__, "sqlstate", None) == ON_HOLD:
            raise Kept(str(problem).splitlines()[0]) from None
        raise
