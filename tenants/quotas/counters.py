"""The locks and sums behind a quota's counter, for what people do (tenants/sql is the rest)."""

from datetime import datetime
from uuid import UUID

from django.db import connection
from django.utils import timezone

from tenants.quotas import windows


def hold_alone(tenant_id: UUID) -> None:
    """Until the transaction ends, no request of this tenant is reserved or settled."""
    with connection.cursor() as cursor:
        cursor.execute("select tenants_hold(array[%s]::uuid[], array[%s]::uuid[])", [tenant_id] * 2)


def open_now(quota_id: UUID, window: str, time_zone: str) -> None:
    """Begins to count, from what the ledger knows of the window so far. After `hold_alone`."""
    starts, ends = windows.bounds(window, timezone.now(), time_zone)
    with connection.cursor() as cursor:
        cursor.execute("select tenants_open_counter(%s, %s, %s)", [quota_id, starts, ends])


def ledger_sum(quota_id: UUID, starts: datetime, ends: datetime) -> tuple[int, int]:
    """(used, reserved) of a window."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select used, reserved from tenants_ledger_sum(%s, %s, %s)", [quota_id, starts, ends]
        )
        used, reserved = cursor.fetchone()
    return used, reserved
