"""Short SQL queries over Django's connection, and locks that are names."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

_EVERY_S = 0.05  # between two looks at a lock


def rows(query: str, values: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return [] if cursor.description is None else cursor.fetchall()


def value(query: str, values: Any = None) -> Any:
    """Returns the first column of the first row."""
    return rows(query, values)[0][0]


def lock(name: str, *, shared: bool = False) -> None:
    """Waits for a lock that is released when the open transaction ends."""
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    rows(f"select {function}(hashtextextended(%s, 0))", [name])


def lock_within(name: str, seconds: float) -> bool:
    """Waits so long at most for a lock like that of `lock`. Returns whether it is held."""
    until = time.monotonic() + seconds
    while not value("select pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name]):
        if time.monotonic() >= until:
            return False
        time.sleep(_EVERY_S)
    return True


@contextmanager
def try_lock(name: str) -> Iterator[bool]:
    """Yields whether the lock could be had at once. It ends with the block, or the connection."""
    acquired = value("select pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
    try:
        yield acquired
    finally:
        if acquired:
            rows("select pg_advisory_unlock(hashtextextended(%s, 0))", [name])
