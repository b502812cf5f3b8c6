"""Why a text may be gone: a tombstone that we signed, or a retention that ran out, on record.

An event that says so can be written by whoever reaches the database; our signature cannot. No
event and no row takes the floor of 184 days away.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from audit.erasure import tombstones
from audit.erasure.tombstones import BadTombstone, Line
from audit.verification.kept import FLOOR, signed_retention
from audit.verification.report import Report

_STONES = "select tenant_id, subject_id, request_id, removes, at, signature from audit_tombstone"
_ACTS = """
    select tenant_id, at, (detail->>'rows')::bigint from audit_event
    where action = 'audit:prune' and tenant_id is not null and detail->>'data_class' = 'audit'"""
# The shortest that a tenant ever had: what went then stays gone when it is raised.
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
        self._kept = signed_retention(connection)
        self._dropped: datetime | None = dropped[0] if dropped else None

    def erased(self, tenant_id: UUID, subject_id: UUID | None) -> bool:
        """Whether a tombstone of this person is there. After it nothing of them is sealed."""
        return (tenant_id, subject_id) in self._erased

    def ran_out(self, tenant_id: UUID, at: datetime) -> bool:
        """Whether an act on record took texts that were as old as this one is."""
        if datetime.now(UTC) - at < FLOOR:
            return False
        if self._dropped and at + FLOOR < self._dropped:
            return True  # a hold kept its month longer than that of the act
        if not self._kept.had_run_out(tenant_id, at, datetime.now(UTC)):
            return False
        days = max(FLOOR, timedelta(days=self._days.get(tenant_id, 0)))
        newest = self._newest.get(tenant_id)
        if newest is None or newest - at < days:
            return False
        self._claimed[tenant_id] += 1
        return True

    def settle(self) -> None:
        """No more may be gone than the acts say."""
        for tenant_id, gone in self._claimed.items():
            if gone > self._rows[tenant_id]:
                text = f"{gone} old texts are gone; retention took {self._rows[tenant_id]}"
                self._report.add("text_missing", text, tenant_id=tenant_id)


def _in_database(connection: psycopg.Connection[Any], report: Report) -> set[tuple[UUID, UUID]]:
    found = set()
    for tenant_id, subject_id, request_id, removes, at, signature in connection.execute(_STONES):
        line = Line(tenant_id, subject_id, request_id, removes, at.astimezone(UTC), signature)
        if line.is_ours():
            found.add(line.owner)
        else:
            text = f"the tombstone of request {line.request_id} is not signed by us"
            report.add("tombstone_broken", text, tenant_id=line.tenant_id)
    return found


def _on_file(report: Report) -> set[tuple[UUID, UUID]]:
    try:
        return {line.owner for line in tombstones.lines()}
    except BadTombstone as problem:
        report.add("tombstone_broken", f"{tombstones.path()}: {problem}")
        return set()
