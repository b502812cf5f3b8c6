"""The number of differences between ledger, usage and counters, for the jobs' metrics.

It is read once a minute, since the books are compared only once a night.
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
_throttle = Throttle()


def read(connection: psycopg.Connection[Any]) -> None:
    """Sets the gauge from a connection that sees every row. Raises psycopg.Error."""
    if _throttle.due():
        row = connection.execute(_DIFFERENCES).fetchone()
        DIFFERENCES.set(row[0] if row else 0)


def forget() -> None:
    _throttle.forget()
    DIFFERENCES.forget()
