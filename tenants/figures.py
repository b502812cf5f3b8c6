"""Figures for the jobs' metrics: differences between the books, and notices that wait.

They are read once a minute. The books are compared only once a night.
"""

from typing import Any

import psycopg

from audit.figures import Throttle
from infrastructure.metrics import Gauge

DIFFERENCES = Gauge(
    "forebay_reconciliation_differences",
    "Days of tenants, of the last 7, for which ledger, usage and counters are not the same",
)
_DIFFERENCES = """
    select count(*) from tenants_tenant t join tenants_reconciliation r on r.tenant_id = t.id
    where r.day > current_date - 8
      and (requests_ledger, tokens_ledger, cost_ledger, gpu_ms_ledger, counters_off)
          is distinct from (requests_usage, tokens_usage, cost_usage, gpu_ms_usage, 0)"""
WAITING = Gauge("forebay_notices_waiting", "Notices that are not delivered yet")
OLDEST = Gauge(
    "forebay_notices_oldest_age_seconds", "Age of the oldest notice that is not delivered yet"
)
FAILED = Gauge("forebay_notices_failed", "Notices that were given up in the last 24 hours")
_NOTICES = """
    select count(*) filter (where state = 'waiting'),
           coalesce(extract(epoch from now() - min(began_at) filter (where state = 'waiting')), 0)
               ::float8,
           count(*) filter (where state = 'failed' and ended_at > now() - interval '1 day')
    from tenants_notice"""
_throttle = Throttle()


def read(connection: psycopg.Connection[Any]) -> None:
    """Sets the gauge from a connection that sees every row. Raises psycopg.Error."""
    if _throttle.due():
        row = connection.execute(_DIFFERENCES).fetchone()
        DIFFERENCES.set(row[0] if row else 0)
        _read_notices(connection)


def _read_notices(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute(_NOTICES).fetchone()
    assert row
    for gauge, figure in zip((WAITING, OLDEST, FAILED), row, strict=True):
        gauge.set(figure)


def forget() -> None:
    _throttle.forget()
    for gauge in (DIFFERENCES, WAITING, OLDEST, FAILED):
        gauge.forget()
