"""Verifies the whole trail: every event, seal, checkpoint, text and witness.

Somebody with access to the database can change all of it, except signatures, whose key is
elsewhere, and the witnesses, which are out of reach.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.db import connection as django_connection
from psycopg.conninfo import make_conninfo

from audit.keys import signing
from audit.verification.chain import Terms
from audit.verification.parallel import verify_sections
from audit.verification.pruned import Pruned, pruned
from audit.verification.report import VerificationReport
from audit.verification.rows import Trail, VerificationRange
from audit.verification.sections import Section, verify_section
from audit.verification.texts import check_data_keys, check_texts
from audit.verification.texts_elsewhere import check_texts_elsewhere
from audit.verification.witness_lines import Witness

__all__ = ["VerificationRange", "VerificationReport", "Witness", "open_trail", "verify"]


def verify(
    connection: Trail,
    span: VerificationRange | None = None,
    *,
    keys: Iterable[bytes] = (),
    witnesses: Iterable[Witness] = (),
    texts: bool = True,
    at_home: bool = False,
    processes: int | None = None,
) -> VerificationReport:
    """Verifies a trail, over a connection whose transaction sees every tenant.

    `keys`: public keys beside those that we trust; `at_home`: the master key must be available;
    `processes`: the most to use, by default as many as cores, up to 4. Raises ChildProcessError if
    one of them ended.
    """
    began, report, span = time.monotonic(), VerificationReport(), span or VerificationRange()
    trusted = [*signing.trusted().values(), *keys]
    months = Pruned([])
    with _unreadable(report):
        months = pruned(connection, report)
    with _unreadable(report):
        _verify_events(Terms(span, trusted, months), connection, processes, report)
    if texts:
        with _unreadable(report):
            check_texts(connection, span, months, report)
        with _unreadable(report):
            check_texts_elsewhere(connection, span, report)
        with _unreadable(report):
            check_data_keys(connection, span, report, must=at_home)
    for witness in witnesses:
        with _unreadable(report):
            witness.check(connection, trusted, report)
    report.took_s = time.monotonic() - began
    return report


def _verify_events(
    terms: Terms, connection: Trail, processes: int | None, report: VerificationReport
) -> None:
    joined = verify_sections(terms, connection, processes)
    if joined:
        report.figures |= joined.figures
        lacking = joined.lacking
    else:
        lacking = verify_section(Section(), terms, connection, report).lacking
    report.count("pruned", lacking)
    if terms.span.is_all() and lacking > terms.pruned.rows:
        text = f"{lacking} events are gone; {terms.pruned.rows} have been dropped with their months"
        report.add("event_missing", text)


@contextmanager
def _unreadable(report: VerificationReport) -> Iterator[None]:
    """Reports values that no clock or counter can produce, as somebody must have written them."""
    try:
        yield
    except (psycopg.DataError, OverflowError) as problem:
        report.add("unreadable", f"a row cannot be read: {problem}")
    except psycopg.errors.InFailedSqlTransaction:
        report.notes.append("after that, not everything could be looked at")


@contextmanager
def open_trail(dsn: str = "") -> Iterator[Trail]:
    """Opens the whole trail in the state of one moment. Raises psycopg.Error."""
    ours = make_conninfo(settings.DATABASE_URL, dbname=django_connection.settings_dict["NAME"])
    options = {**settings.DATABASE_PATIENCE, **settings.SEES_ALL}
    with psycopg.connect(dsn or ours, **options) as own:
        own.execute("set transaction isolation level repeatable read read only")
        own.execute("set local enable_partitionwise_join = on")
        yield own
