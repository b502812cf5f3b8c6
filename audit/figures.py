"""Figures for the jobs' metrics: the lag of sealing and erasure, and PostgreSQL's own numbers.

Each scrape reads them by one statement over indexes (config/metrics/scraped_sources.py), and the
latest checks by another. The database's size is read once a minute only, since PostgreSQL looks at
all its files for it.
"""

import time
from typing import Any

import psycopg
from django.conf import settings

from audit.witnesses.delivery import name_of
from infrastructure.metrics import ANY_OF_FEW, Gauge, Label

_OPEN = "from audit_deletionrequest where state not in ('done', 'refused')"
# A restriction that has begun lasts until its retention ends. It counts as late again only if
# operators have not been alerted since.
_COUNTS = """held_at is null and (mode <> 'restrict' or started_at is null
    or alerted_at > started_at + interval '7 days')"""
_UNSEALED_S = """
    extract(epoch from now() - (
        select at from audit_event
        where (xid, id) > (coalesce((select xid from audit_sealmark where id = 1), 0),
                           coalesce((select event_id from audit_sealmark where id = 1), 0))
          and id > coalesce((select max(last) from audit_sealmark, unnest(restarts) last), 0)
        order by xid, id limit 1))"""
_UNHEARD = """
    (select coalesce(max(n), 0) from audit_checkpoint) - (
        select case count(*) when cardinality(%(witnesses)s::text[]) then min(n) else 0 end
        from audit_witnessmark where name = any(%(witnesses)s::text[]))"""
FIGURES = {
    Gauge(
        "forebay_seal_lag_seconds",
        "Age of the oldest event of the audit trail that is not under seal yet",
    ): f"greatest(0, {_UNSEALED_S})",
    Gauge(
        "forebay_witness_lag_checkpoints",
        "Checkpoints that the witness which is furthest behind has not heard",
    ): f"case when cardinality(%(witnesses)s::text[]) > 0 then {_UNHEARD} end",
    Gauge(
        "forebay_erasures_open", "Deletion requests that are neither done nor refused"
    ): f"(select count(*) {_OPEN})",
    Gauge(
        "forebay_erasure_oldest_age_seconds",
        "How far the clock is of the open deletion request that is due first, without those that a "
        "legal hold keeps and restrictions that have begun; 72 h is the most",
    ): f"(select extract(epoch from now() + interval '72 h' - min(due_at)) {_OPEN} and {_COUNTS})",
    Gauge(
        "forebay_postgresql_connections", "Connections to this database, of whomever"
    ): "(select count(*) from pg_stat_activity where datname = current_database())",
    Gauge(
        "forebay_postgresql_connections_limit", "max_connections of PostgreSQL"
    ): "current_setting('max_connections')::int",
}
DRILLED = Gauge(
    "forebay_drill_seconds",
    "Unix time of the last drills that went as expected; 0 if never, and none where no drills are "
    "planned (FOREBAY_DRILLS) and none were recorded",
)
CHECK = Gauge(
    "forebay_check_ok",
    "1 where the platform's latest look at a promise of its own found nothing, of the last 3 days",
    Label("check", ANY_OF_FEW),
)
SIZE = Gauge("forebay_postgresql_size_bytes", "Size of the database, looked at once a minute")
_CHECKS = """
    select distinct on (name) name, ok::int from audit_checkrun
    where tenant_id is null and at > now() - interval '3 days' order by name, at desc"""
_DRILLED = """
    select coalesce(extract(epoch from max(at) filter (where ok)), 0)::float8, count(*)
    from audit_checkrun where tenant_id is null and name = 'drills.report'"""
_ALL = "select " + ", ".join(f"coalesce({sql}, 0)::float8" for sql in FIGURES.values())


def read(connection: psycopg.Connection[Any]) -> None:
    """Sets the gauges from a connection that sees every row. Raises psycopg.Error."""
    witnesses = [name_of(url) for url in settings.WITNESSES]
    row = connection.execute(_ALL, {"witnesses": witnesses}, prepare=True).fetchone()
    assert row
    for gauge, figure in zip(FIGURES, row, strict=True):
        gauge.set(figure)
    _read_drills(connection)
    CHECK.set_all({(name,): ok for name, ok in connection.execute(_CHECKS, prepare=True)})
    if _throttle.due():
        SIZE.forget()
        _read_size(connection)


def forget() -> None:
    _throttle.forget()
    for gauge in (*FIGURES, DRILLED, CHECK, SIZE):
        gauge.forget()


def _read_drills(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute(_DRILLED, prepare=True).fetchone()
    at, reports = row or (0.0, 0)
    if reports or settings.DRILLS:
        DRILLED.set(at)
    else:
        DRILLED.forget()


def _read_size(connection: psycopg.Connection[Any]) -> None:
    """Leaves the gauge unset if PostgreSQL takes too long: the other figures need not wait."""
    try:
        row = connection.execute("select pg_database_size(current_database())").fetchone()
    except psycopg.errors.QueryCanceled:
        return
    SIZE.set(row[0] if row else 0)


class Throttle:
    """Limits an expensive reading to one in EVERY_S seconds."""

    EVERY_S = 60.0

    def __init__(self) -> None:
        self._last = float("-inf")

    def due(self) -> bool:
        due = time.monotonic() - self._last >= self.EVERY_S
        self._last = time.monotonic() if due else self._last
        return due

    def forget(self) -> None:
        self._last = float("-inf")


_throttle = Throttle()
