"""Commits that a planned switch-over of PostgreSQL cuts off, staged in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, cycle
from typing import NoReturn

import psycopg
import pytest
from django.db import OperationalError

from infrastructure.postgres.patient_backend.base import DatabaseWrapper

Commit = Callable[[DatabaseWrapper], None]


def end(connection: DatabaseWrapper) -> NoReturn:
    connection.connection.close()
    raise OperationalError from psycopg.OperationalError("the connection is lost")


@contextmanager
def commits_cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator["count[int]"]:
    """Inside, each commit is cut off before it happened, then after it, and is answered at last.

    Yields a counter of those that were cut off.
    """
    commit: Commit = DatabaseWrapper.commit
    cut_offs, fates = count(), cycle(("before", "after", ""))

    def cut_off(self: DatabaseWrapper) -> None:
        fate = next(fates)
        if fate != "before":
            commit(self)
        if fate:
            next(cut_offs)
            end(self)

    with monkeypatch.context() as patched:
        patched.setattr(DatabaseWrapper, "commit", cut_off)
        yield cut_offs
