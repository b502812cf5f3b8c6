"""Is the trail what was written? Every event, seal, checkpoint, text and witness is looked at.

Whoever can change the database can change all of it: what holds are the signatures, whose key it
has not, and the witnesses, which it does not reach.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection as django_connection
from psycopg.conninfo import make_conninfo

from audit.keys import signing
from audit.verification.data_keys import check_data_keys
from audit.verification.pruned import Pruned, pruned
from audit.verification.report import Report
from audit.verification.sections import Asked, Section, found_in
from audit.verification.side_by_side import whole
from audit.verification.texts import check_texts
from audit.verification.time_range import TimeRange
from audit.verification.witnessed import Witness

__all__ = ["Report", "TimeRange", "Witness", "opened", "verify"]


def verify(
    connection: psycopg.Connection[Any],
    span: TimeRange | None = None,
    *,
    keys: Iterable[bytes] = (),
    witnesses: Iterable[Witness] = (),
    texts: bool = True,
    at_home: bool = False,
    processes: int | None = None,
) -> Report:
    """`connection` is in a transaction that sees every tenant; `keys`: public ones beside those
    that we trust; `at_home`: here the master key must be at hand; `processes`: at most, as many as
    cores and no more than 4 without it. Raises ChildProcessError where one of them ended.
    """
    began, report, span = time.monotonic(), Report(), span or TimeRange()
    trusted = [*signing.trusted().values(), *keys]
    gone = Pruned([])
    with _unreadable(report):
        gone = pruned(connection, report)
    with _unreadable(report):
        _events(Asked(span, trusted, gone), connection, processes, report)
    if texts:
        with _unreadable(report):
            check_texts(connection, span, gone, report)
        with _unreadable(report):
            check_data_keys(connection, span, report, must=at_home)
    for witness in witnesses:
        with _unreadable(report):
            witness.check(connection, trusted, report)
    report.took_s = time.monotonic() - began
    return report


def _events(
    asked: Asked, connection: psycopg.Connection[Any], processes: int | None, report: Report
) -> None:
    together = whole(asked, connection, processes)
    if together:
        report.figures |= together.figures
        lacking = together.lacking
    else:
        lacking = found_in(Section(), asked, connection, report).lacking
    report.count("pruned", lacking)
    if asked.span.is_all() and lacking > asked.gone.rows:
        text = f"{lacking} events are gone; {asked.gone.rows} have been dropped with their months"
        report.add("event_missing", text)


@contextmanager
def _unreadable(report: Report) -> Iterator[None]:
    """A value that no clock and no counter gives was put there by hand."""
    try:
        yield
    except (psycopg.DataError, OverflowError) as problem:
        report.add("unreadable", f"a row cannot be read: {problem}")
    except psycopg.errors.InFailedSqlTransaction:
        report.notes.append("after that, not everything could be looked at")


@contextmanager
def opened(dsn: str = "") -> Iterator[psycopg.Connection[Any]]:
    """The whole trail as it is at one moment. Raises psycopg.Error."""
    ours = make_conninfo(settings.DATABASE_URL, dbname=django_connection.settings_dict["NAME"])
    options = {**settings.DATABASE_PATIENCE, **settings.SEES_ALL}
    with psycopg.connect(dsn or ours, **options) as own:
        own.execute("set transaction isolation level repeatable read read only")
        own.execute("set local enable_partitionwise_join = on")
        yield own
