"""Windows of quotas: days and months in the tenant's time zone, sessions, and their counters.

A day has 23, 24 or 25 hours. If the clocks skip midnight, the day begins at the first moment after
it; if midnight comes twice, at the first one.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.utils import timezone

from tenants.caller import SESSION

_SETTING = 1364546388  # the first half of the lock's key: "QUTT"
_UNTIL = """
    select s.used, s.reserved from tenants_ledger_until(%s, %s, %s, %s) s
    where not exists (select from tenants_quotacounter where quota_id = %s and starts = %s)"""


class _Bounds(NamedTuple):
    starts: datetime
    ends: datetime


class Bounds(_Bounds):
    """The range from `starts` up to, but excluding, `ends`; both UTC."""

    @cached_property
    def starts_text(self) -> str:
        return self.starts.isoformat()

    @cached_property
    def ends_text(self) -> str:
        return self.ends.isoformat()


ALL_TIME = Bounds(datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))  # of one
_latest: dict[tuple[str, str], Bounds] = {}  # at most two per time zone


def bounds(window: str, at: datetime, zone: str) -> Bounds:
    """Returns the day or month that contains `at` (aware). Raises ZoneInfoNotFoundError."""
    if window == SESSION:
        return ALL_TIME
    known = _latest.get((window, zone))
    if known is None or not known.starts <= at < known.ends:
        known = _latest[window, zone] = _compute(window, at, ZoneInfo(zone))
    return known


def _compute(window: str, at: datetime, zone: ZoneInfo) -> Bounds:
    today = at.astimezone(zone).date()
    if window == "day":
        return Bounds(_midnight(today, zone), _midnight(today + timedelta(days=1), zone))
    first = today.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Bounds(_midnight(first, zone), _midnight(following, zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def day_bounds(day: date, zone: str) -> Bounds:
    """Returns the bounds of a calendar day."""
    zone_info = ZoneInfo(zone)
    return Bounds(_midnight(day, zone_info), _midnight(day + timedelta(days=1), zone_info))


# Locks and sums of counters, for changes by people (tenants/sql has those of requests) ---------
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
    present = [(quota, *bounds(window, at, time_zone)) for quota, window in quotas]
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


_IDLE = """
    select c.id from tenants_quotacounter c
    where c.tenant_id = %s and c.session is not null and c.reserved = 0 and not exists (
        select from tenants_ledgerentry e
        where e.tenant_id = c.tenant_id and e.session = c.session and e.at > %s)"""
_BATCH = 1_000


def forget_sessions(tenant_id: UUID, unused_since: datetime) -> int:
    """Delete the counters of sessions without a request since then. Returns their number.

    The next request of one makes its counter again, from the ledger. Requests of the tenant wait
    for one batch at a time.
    """
    with connection.cursor() as cursor:
        cursor.execute(_IDLE, [tenant_id, unused_since])
        ids = [pk for (pk,) in cursor.fetchall()]
        for begin in range(0, len(ids), _BATCH):
            with transaction.atomic():
                hold_alone(tenant_id)
                cursor.execute(
                    f"delete from tenants_quotacounter where id in ({_IDLE} and c.id = any(%s))",
                    [tenant_id, unused_since, ids[begin : begin + _BATCH]],
                )
    return len(ids)
