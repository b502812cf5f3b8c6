"""Monthly partitions of events and texts, and the only two ways out of them.

Partitions are made before their first row (sql/1_partitions.sql). Texts are deleted after their
keys, and months after their time; the rules are in the database (sql/2_append_only.sql).
"""

import logging
from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction

from infrastructure.postgres.queries import value

log = logging.getLogger(__name__)
MONTHS_AHEAD = 3
ON_HOLD = "AU001"
ALL = 2**31 - 1  # PostgreSQL's largest integer


class HoldInForce(Exception):
    """A legal hold covers the data; nothing was deleted."""


def name(table: str, month: date) -> str:
    return f"{table}_y{month:%Y}_m{month:%m}"


def make() -> list[str]:
    """Makes missing partitions and returns their names. Safe at any time, and concurrently."""
    names: list[str] = value("select audit_make_partitions(%s)", [MONTHS_AHEAD])
    if names:
        log.info("created partitions: %s", ", ".join(names))
    return names


def erase_texts(key_ids: Iterable[UUID], most: int = ALL) -> int:
    """Deletes up to `most` texts of destroyed keys. Returns how many.

    Raises HoldInForce; DatabaseError if a key still exists.
    """
    return _call("select audit_erase_some_texts(%s::uuid[], %s)", [list(key_ids), most])


def prune_month(table: str, month: date) -> int:
    """Drops a month of audit_event or audit_payload, and returns the number of rows.

    Raises HoldInForce; DatabaseError if the month is too young, or not sealed.
    """
    return _call("select audit_prune_month(%s, %s::date)", [table, month])


def prune_texts(tenant_id: UUID, most: int) -> int:
    """Deletes up to `most` texts past their retention and not on hold. Returns how many."""
    return _call("select audit_prune_texts(%s, %s)", [tenant_id, most])


def _call(statement: str, values: list[Any]) -> int:
    try:
        with transaction.atomic():
            return int(value(statement, values))
    except DatabaseError as problem:
        if getattr(problem.__cause__, "sqlstate", None) == ON_HOLD:
            raise HoldInForce(str(problem).splitlines()[0]) from None
        raise
