"""Monthly partitions of events and texts, made before their first row (sql/1_partitions.sql)."""

import logging
from datetime import date

from infrastructure.postgres.queries import value

log = logging.getLogger(__name__)
MONTHS_AHEAD = 3


def name(table: str, month: date) -> str:
    return f"{table}_y{month:%Y}_m{month:%m}"


def make() -> list[str]:
    """Makes missing partitions and returns their names. Safe at any time, and concurrently."""
    names: list[str] = value("select audit_make_partitions(%s)", [MONTHS_AHEAD])
    if names:
        log.info("created partitions: %s", ", ".join(names))
    return names
