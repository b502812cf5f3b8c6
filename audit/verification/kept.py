"""How long each tenant kept its trail, as its seals say: nobody but us can sign other days.

Days that were lowered for a moment, so that a month may go, are in the seals of that moment; that a
person lowered them is an act on record.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from audit.platform import PLATFORM
from audit.verification.report import Report

FLOOR = timedelta(days=184)
WITHIN = timedelta(minutes=10)  # so much later the act may come under seal than the days it set
# Where a tenant's days changed, with those before.
_HISTORY = """
    select tenant_id, sealed_at, retention_days, before from (
        select tenant_id, batch, sealed_at, retention_days,
               lag(retention_days) over (partition by tenant_id order by batch) as before
        from audit_seal where retention_days is not null) seals
    where before is distinct from retention_days order by tenant_id, batch"""
# That somebody set these days, or that the tenant is no more: then its days are the default.
_TOLD = """
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
    before: int | None  # None: the first that a seal tells


class Kept:
    def __init__(self, changes: dict[UUID, list[Change]]) -> None:
        self._changes = changes

    def had_run_out(self, tenant_id: UUID, at: datetime, now: datetime) -> bool:
        """Whether what is of `at` was old enough, at any time until `now`, for the days that were
        in force then. Before the first seal that tells them, the floor was.
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

    def check(self, connection: psycopg.Connection[Any], report: Report) -> None:
        for tenant_id, changes in self._changes.items():
            for earlier, change in pairwise(changes):
                told = not _is_lower(change) or _is_told(connection, tenant_id, earlier, change)
                if not told:
                    text = (
                        f"the trail was kept for {change.before} days, from "
                        f"{change.at:%Y-%m-%d %H:%M:%S} on for {change.days}, and nobody set that"
                    )
                    report.add("retention_lowered", text, tenant_id=tenant_id)


def signed_retention(connection: psycopg.Connection[Any]) -> Kept:
    changes: dict[UUID, list[Change]] = defaultdict(list)
    for tenant_id, at, days, before in connection.execute(_HISTORY):
        changes[tenant_id].append(Change(at.astimezone(UTC), days, before))
    return Kept(dict(changes))


def _is_lower(change: Change) -> bool:
    return change.before is not None and change.days < change.before


def _is_told(
    connection: psycopg.Connection[Any], tenant_id: UUID, earlier: Change, change: Change
) -> bool:
    if tenant_id == PLATFORM:
        return True  # it has the default, which a version may lower
    asked = {
        "tenant": tenant_id,
        "at": change.at,
        "since": earlier.at - WITHIN,
        "until": change.at + WITHIN,
        "days": change.days,
    }
    found = connection.execute(_TOLD, asked).fetchone()
    return bool(found and found[0])
