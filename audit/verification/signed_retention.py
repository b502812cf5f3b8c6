"""Each tenant's retention over time according to its seals, which only we can sign.

Days that were lowered for a moment, so that a month could be dropped, are in the seals of that
moment. A person who lowers them does so by a recorded act.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from audit.platform import PLATFORM
from audit.verification.report import Report
from audit.verification.rows import Trail

FLOOR = timedelta(days=184)
WITHIN = timedelta(minutes=10)  # the act may be sealed this much later than the days it set
# Changes of a tenant's days, with the days before.
_HISTORY = """
    select tenant_id, sealed_at, retention_days, before from (
        select tenant_id, batch, sealed_at, retention_days,
               lag(retention_days) over (partition by tenant_id order by batch) as before
        from audit_seal where retention_days is not null) seals
    where before is distinct from retention_days order by tenant_id, batch"""
# True if somebody set these days, or the tenant is closed, which sets the default.
_ON_RECORD = """
    select exists (
        select from audit_event where tenant_id = %(tenant)s
          and at > %(since)s and at < %(until)s
          and (action = 'tenant:close' or action = 'retention:change'
               and detail->>'data_class' = 'audit' and (detail->'days'->>1)::int = %(days)s))
        or exists (select from audit_prunedmonth where "table" = 'audit_event'
                   and month = date_trunc('month', %(at)s::timestamptz at time zone 'UTC')::date)"""


class Change(NamedTuple):
    at: datetime
    days: int
    before: int | None  # None: the first that a seal states


class SignedRetention:
    def __init__(self, changes: dict[UUID, list[Change]]) -> None:
        self._changes = changes

    def had_expired(self, tenant_id: UUID, at: datetime, now: datetime) -> bool:
        """Returns True if data of `at` was old enough, at any time until `now`, for the days in
        force then.

        Before the first seal that states days, the minimum was in force.
        """
        changes = self._changes.get(tenant_id, [])
        begins = [change.at for change in changes]
        if now - at < FLOOR:
            return False
        if not changes or begins[0] - at >= FLOOR:
            return True
        ends = [*begins[1:], now]
        return any(
            end - at >= max(FLOOR, timedelta(days=change.days))
            for change, end in zip(changes, ends, strict=True)
        )

    def check(self, connection: Trail, report: Report) -> None:
        for tenant_id, changes in self._changes.items():
            for earlier, change in pairwise(changes):
                if _is_lower(change) and not _is_on_record(connection, tenant_id, earlier, change):
                    text = (
                        f"the trail was kept for {change.before} days, from "
                        f"{change.at:%Y-%m-%d %H:%M:%S} on for {change.days}, and nobody set that"
                    )
                    report.add("retention_lowered", text, tenant_id=tenant_id)


def signed_retention(connection: Trail) -> SignedRetention:
    changes: dict[UUID, list[Change]] = defaultdict(list)
    for tenant_id, at, days, before in connection.execute(_HISTORY):
        changes[tenant_id].append(Change(at.astimezone(UTC), days, before))
    return SignedRetention(dict(changes))


def _is_lower(change: Change) -> bool:
    return change.before is not None and change.days < change.before


def _is_on_record(connection: Trail, tenant_id: UUID, earlier: Change, change: Change) -> bool:
    if tenant_id == PLATFORM:
        return True  # the platform has the default, which a new version may lower
    values = {
        "tenant": tenant_id,
        "at": change.at,
        "since": earlier.at - WITHIN,
        "until": change.at + WITHIN,
        "days": change.days,
    }
    row = connection.execute(_ON_RECORD, values).fetchone()
    return bool(row and row[0])
