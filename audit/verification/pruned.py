"""Dropped months, which are believed only if law and the trail itself allow it.

The database's owner can claim that a month was dropped, and have the claim's event sealed. But
nobody can make recently sealed events look as if they had been sealed half a year ago.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from audit.verification.report import Report
from audit.verification.rows import Trail
from audit.verification.signed_retention import FLOOR, SignedRetention, signed_retention

LATE = timedelta(days=31)  # the longest that a sealer may have been away
CLOCK = timedelta(days=1)  # the most that the clock may have been set back meanwhile
_PRUNED = """
    select p."table", p.month, p.rows, p.pruned_at,
        (select count(*) from audit_event e where {told}),
        exists (select from audit_event e where {told} and (e.detail->>'rows')::bigint = p.rows),
        case p."table" when 'audit_event' then exists (select from audit_event where {inside})
                       when 'audit_payload' then exists (select from audit_payload where {inside})
        end
    from audit_prunedmonth p order by p.month""".format(
    told="""e.action = 'audit:prune' and e.detail->>'table' = p."table"
            and e.detail->>'month' = to_char(p.month, 'YYYY-MM')""",
    inside="""at >= p.month::timestamp at time zone 'UTC'
            and at < (p.month + interval '1 month') at time zone 'UTC'""",
)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = "select min(at) from audit_checkpoint"


@dataclass(frozen=True, slots=True)
class Month:
    table: str
    begins: datetime
    ends: datetime
    rows: int


class Times(NamedTuple):
    """The times of a batch's first and last event, and of its seal. The seal's hash covers all."""

    first: datetime
    last: datetime
    sealed: datetime


@dataclass(slots=True)
class Pruned:
    months: list[Month]
    retention: SignedRetention = field(default_factory=lambda: SignedRetention({}))
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def rows(self) -> int:
        return sum(month.rows for month in self._events)

    @property
    def complete_since(self) -> datetime:
        """Returns the moment after which no month was dropped."""
        return max((month.ends for month in self._events), default=_LONG_AGO)

    @property
    def texts(self) -> list[Month]:
        return [month for month in self.months if month.table == "audit_payload"]

    def covers(self, tenant_id: UUID, batch: Times) -> bool:
        """Returns True if no event of the batch can exist any more."""
        inside = any(m.begins <= batch.first and batch.last < m.ends for m in self._events)
        return inside and self._may_be_dropped(tenant_id, batch)

    def may_lack(self, tenant_id: UUID, batch: Times) -> bool:
        """Returns True if some events of the batch may be missing."""
        return self.touches(batch.first, batch.last) and self._may_be_dropped(tenant_id, batch)

    def touches(self, first: datetime, last: datetime) -> bool:
        return any(month.begins <= last and first < month.ends for month in self._events)

    @property
    def _events(self) -> Iterator[Month]:
        return (month for month in self.months if month.table == "audit_event")

    def _may_be_dropped(self, tenant_id: UUID, batch: Times) -> bool:
        """Returns True if the batch was sealed while its events were new, and long enough ago."""
        soon = batch.last - CLOCK <= batch.sealed <= batch.first + LATE
        if not soon or batch.sealed > self.now - FLOOR:
            return False
        return self.retention.had_expired(tenant_id, batch.last, self.now)


def pruned(connection: Trail, report: Report) -> Pruned:
    """Returns the months that may be missing. A month that cannot be dropped as claimed is a
    finding.
    """
    (began,) = connection.execute(_FIRST).fetchone() or (None,)
    rows = connection.execute(_PRUNED).fetchall()
    dropped = {(table, month) for table, month, *_ in rows}
    believed = Pruned([], signed_retention(connection))
    for table, month, count, at, acts, counts_agree, has_rows in rows:
        begins = datetime(month.year, month.month, 1, tzinfo=UTC)
        ends = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
        act_was_dropped = not acts and ("audit_event", date(at.year, at.month, 1)) in dropped
        name = f"{table} of {month:%Y-%m}"
        if at - ends < FLOOR or believed.now - ends < FLOOR:
            report.add("pruned_early", f"{name} was dropped before its time")
        elif began is None or ends < began - LATE:
            report.add("pruned_untold", f"{name} is older than the first seal: nothing was there")
        elif not (acts == 1 and counts_agree) and not act_was_dropped:
            report.add("pruned_untold", f"{name} is gone, and no event says so, or one too many")
        elif has_rows:
            report.add("pruned_in_part", f"{name} is said to be gone, but some of it is there")
        else:
            believed.months.append(Month(table, begins, ends, count))
    believed.retention.check(connection, report)
    return believed
