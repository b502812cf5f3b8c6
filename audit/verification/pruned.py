"""Months that have been dropped: believed only where law and the trail itself allow it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from audit.verification.report import Report

FLOOR = timedelta(days=184)
_PRUNED = """
    select "table", month, rows, pruned_at, exists (
        select from audit_event e
        where e.action = 'audit:prune' and e.detail->>'table' = p."table"
          and e.detail->>'month' = to_char(p.month, 'YYYY-MM')
          and (e.detail->>'rows')::bigint = p.rows)
    from audit_prunedmonth p order by month"""


@dataclass(frozen=True, slots=True)
class Month:
    table: str
    begins: datetime
    ends: datetime
    rows: int


class Pruned:
    def __init__(self, months: list[Month]) -> None:
        self._events = [month for month in months if month.table == "audit_event"]
        self._texts = [month for month in months if month.table == "audit_payload"]
        self.rows = sum(month.rows for month in self._events)

    def covers(self, first: datetime, last: datetime) -> bool:
        """Whether nothing between the two can be there any more (they are in a round)."""
        return any(month.begins <= first and last < month.ends for month in self._events)

    def touches(self, first: datetime, last: datetime) -> bool:
        return any(month.begins <= last and first < month.ends for month in self._events)

    @property
    def texts(self) -> list[Month]:
        return self._texts


def pruned(connection: psycopg.Connection[Any], report: Report) -> Pruned:
    """What may be missing. A month that was dropped too early, or by nobody, is a finding."""
    rows = connection.execute(_PRUNED).fetchall()
    gone = {(table, month) for table, month, *_ in rows}
    believed = []
    for table, month, count, at, told in rows:
        begins = datetime(month.year, month.month, 1, tzinfo=UTC)
        ends = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
        told_by_one_that_went = ("audit_event", date(at.year, at.month, 1)) in gone
        if at - ends < FLOOR or datetime.now(UTC) - ends < FLOOR:
            report.add("pruned_early", f"{table} of {month:%Y-%m} was dropped before its time")
        elif not told and not told_by_one_that_went:
            report.add("pruned_untold", f"{table} of {month:%Y-%m} is gone, and no event says so")
        else:
            believed.append(Month(table, begins, ends, count))
    return Pruned(believed)
