"""Months of events and texts, made before their first row comes (sql/1_partitions.sql)."""

import logging
from datetime import date

from django.db import connection

log = logging.getLogger(__name__)
MONTHS_AHEAD = 3


def name(table: str, month: date) -> str:
    return f"{table}_y{month:%Y}_m{month:%m}"


def make() -> list[str]:
    """The names of those that were missing. Safe at any time, and by several at once."""
    with connection.cursor() as cursor:
        cursor.execute("select audit_make_partitions(%s)", [MONTHS_AHEAD])
        made: list[str] = cursor.fetchone()[0]
    if made:
        log.info("created partitions: %s", ", ".join(made))
    return made
