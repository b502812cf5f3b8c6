"""A transaction that is done again when the server ends its connection: a planned switch-over ends
every connection of the server that was primary.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db import OperationalError, connection, connections

T = TypeVar("T")
PAUSE_S = 0.1
_SERVER_ENDS = (
    psycopg.errors.AdminShutdown,
    psycopg.errors.CrashShutdown,
    psycopg.errors.CannotConnectNow,
)


def transact(
    scope: Callable[[], AbstractContextManager[None]],
    work: Callable[[], T],
    *,
    repeatable: bool = False,
) -> T:
    """Do the work inside `scope`, which opens a transaction, until it has been done once.

    Nothing stays of a transaction that was cut off before its commit. One that was cut off in its
    commit may have happened: it is done again only if it is `repeatable`, as what reads is, or what
    finds what it has stored. A part of an open transaction is done once: the whole begins again, or
    nothing does.

    Raises django.db.OperationalError after FAILOVER_WAIT_S.
    """
    if connection.in_atomic_block:
        with scope():
            return work()
    deadline: float | None = None  # from the first cut-off on
    while True:
        commits: Any = None  # the connection whose transaction ends
        try:
            with scope():
                result = work()
                commits = connections["default"]
        except OperationalError as problem:
            deadline = deadline or time.monotonic() + settings.FAILOVER_WAIT_S
            may_have_happened = commits and not repeatable
            if may_have_happened or not _is_cut_off(problem) or time.monotonic() >= deadline:
                raise
            if commits:  # what it finds may be on no standby yet
                commits.is_in_doubt = True
            time.sleep(PAUSE_S)
        else:
            return result


def _is_cut_off(problem: OperationalError) -> bool:
    """Returns whether the connection has ended, in place of a statement."""
    cause = problem.__cause__
    if not isinstance(cause, psycopg.OperationalError):
        return False
    return isinstance(cause, _SERVER_ENDS) or cause.sqlstate is None or cause.sqlstate[:2] == "08"
