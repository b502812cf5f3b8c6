"""Reasons why a text may be missing: a tombstone with our signature, or a recorded expiry.

Somebody with access to the database can write an event that claims either, but not our signature.
No event or row shortens the minimum of 184 days.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from audit.erasure import tombstones
from audit.erasure.tombstones import BadTombstone, Line
from audit.verification.report import Report
from audit.verification.signed_retention import FLOOR, signed_retention

_STONES = "select tenant_id, subject_id, request_id, removes, at, signature from audit_tombstone"
_ACTS = """
    select tenant_id, at, (detail->>'rows')::bigint from audit_event
    where action = 'audit:prune' and tenant_id is not null and detail->>'data_class' = 'audit'"""
# A tenant's shortest retention ever: texts deleted under it stay missing after an increase.
_DAYS = """
    select tenant_id, least(audit_retention_of(tenant_id), min(days)) from (
        select e.tenant_id, days::int from audit_event e
        cross join jsonb_array_elements_text(e.detail->'days') days
        where e.action = 'retention:change' and e.detail->>'data_class' = 'audit'
          and e.tenant_id is not null
        union all
        select tenant_id, null from audit_event
        where action = 'audit:prune' and tenant_id is not null) known group by 1"""

_DROPPED = """select max(month)::timestamp at time zone 'UTC' from audit_prunedmonth
              where "table" = 'audit_event'"""


class GoneTexts:
    def __init__(self, connection: psycopg.Connection[Any], report: Report) -> None:
        self._report = report
        self._erased = {*_in_database(connection, report), *_on_file(report)}
        self._days: dict[UUID, int] = dict(connection.execute(_DAYS).fetchall())
        self._newest: dict[UUID, datetime] = {}
        self._rows: Counter[UUID] = Counter()
        for tenant_id, at, rows in connection.execute(_ACTS):
            self._newest[tenant_id] = max(at, self._newest.get(tenant_id, at))
            self._rows[tenant_id] += rows
        self._claimed: Counter[UUID] = Counter()
        dropped = connection.execute(_DROPPED).fetchone()
        self._retention = signed_retention(connection)
        self._dropped: datetime | None = dropped[0] if dropped else None

    def is_erased(self, tenant_id: UUID, subject_id: UUID | None) -> bool:
        """Returns True if this person has a tombstone. No text of theirs is encrypted after it."""
        return (tenant_id, subject_id) in self._erased

    def is_expired(self, tenant_id: UUID, at: datetime) -> bool:
        """Returns True if a recorded deletion covers texts of this age."""
        if datetime.now(UTC) - at < FLOOR:
            return False
        if self._dropped and at + FLOOR < self._dropped:
            return True  # a hold kept its month longer than the month of the act
        if not self._retention.had_expired(tenant_id, at, datetime.now(UTC)):
            return False
        days = max(FLOOR, timedelta(days=self._days.get(tenant_id, 0)))
        newest = self._newest.get(tenant_id)
        if newest is None or newest - at < days:
            return False
        self._claimed[tenant_id] += 1
        return True

    def check_totals(self) -> None:
        """Reports missing texts beyond the number that the recorded deletions state."""
        for tenant_id, count in self._claimed.items():
            if count > self._rows[tenant_id]:
                text = f"{count} old texts are gone; retention took {self._rows[tenant_id]}"
                self._report.add("text_missing", text, tenant_id=tenant_id)


def _in_database(connection: psycopg.Connection[Any], report: Report) -> set[tuple[UUID, UUID]]:
    owners = set()
    for tenant_id, subject_id, request_id, removes, at, signature in connection.execute(_STONES):
        line = Line(tenant_id, subject_id, request_id, removes, at.astimezone(UTC), signature)
        if line.is_ours():
            owners.add(line.owner)
        else:
            text = f"the tombstone of request {line.request_id} is not signed by us"
            report.add("tombstone_broken", text, tenant_id=line.tenant_id)
    return owners


def _on_file(report: Report) -> set[tuple[UUID, UUID]]:
    try:
        return {line.owner for line in tombstones.lines()}
    except BadTombstone as problem:
        report.add("tombstone_broken", f"{tombstones.path()}: {problem}")
        return set()
