"""Locks and sums of quota counters, for changes by people (tenants/sql has those of requests)."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.utils import timezone

from tenants.quotas import windows

_SETTING = 1364546388  # the first half of the lock's key: "QUTT"
_UNTIL = """
    select s.used, s.reserved from tenants_ledger_until(%s, %s, %s, %s) s
    where not exists (select from tenants_quotacounter where quota_id = %s and starts = %s)"""


def hold_alone(tenant_id: UUID) -> None:
    """Stops reservations and settlements of this tenant until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("select tenants_hold(array[%s]::uuid[], array[%s]::uuid[])", [tenant_id] * 2)


def one_sets_at_a_time(tenant_id: UUID) -> None:
    """Lets one transaction at a time make quotas of this tenant; requests continue."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [_SETTING, str(tenant_id)])


def open_now(tenant_id: UUID, quotas: Iterable[tuple[UUID, str]], time_zone: str) -> None:
    """Opens counters (id, window) of the present windows, with what the ledger has in them so far.

    The tenant's requests wait only for the sum of entries added during the long query, and for the
    rest of the transaction, which should be short.
    """
    at = timezone.now()
    present = [(quota, *windows.bounds(window, at, time_zone)) for quota, window in quotas]
    with connection.cursor() as cursor:
        cursor.execute("select tenants_ledger_mark(%s)", [tenant_id])
        (mark,) = cursor.fetchone()
        sums = []
        for quota, starts, ends in present:
            cursor.execute(_UNTIL, [quota, starts, ends, mark, quota, starts])
            if row := cursor.fetchone():
                sums.append((quota, starts, ends, *row, mark))
        hold_alone(tenant_id)
        for counter in sums:
            cursor.execute("select tenants_open_counter_after(%s, %s, %s, %s, %s, %s)", counter)


def ledger_sum(quota_id: UUID, starts: datetime, ends: datetime) -> tuple[int, int]:
    """Returns (used, reserved) of a window."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select used, reserved from tenants_ledger_sum(%s, %s, %s)", [quota_id, starts, ends]
        )
        used, reserved = cursor.fetchone()
    return used, reserved
