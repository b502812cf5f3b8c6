"""Dropped months, which are believed only if law and the trail itself allow it.

The database's owner can claim that a month was dropped, and have the claim's event sealed. But
nobody can make recently sealed events look as if they had been sealed half a year ago. Nor can
they change what seals say of each tenant's retention: days that were lowered for a moment, so that
a month could be dropped, are in the seals of that moment, and who lowers them does so by an act.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from audit.platform import PLATFORM
from audit.verification.report import VerificationReport
from audit.verification.rows import Trail

FLOOR = timedelta(days=184)
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


class RetentionChange(NamedTuple):
    at: datetime
    days: int
    before: int | None  # None: the first that a seal states


class SignedRetention:
    def __init__(self, changes: dict[UUID, list[RetentionChange]]) -> None:
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

    def check(self, connection: Trail, report: VerificationReport) -> None:
        for tenant_id, changes in self._changes.items():
            for earlier, change in pairwise(changes):
                lower = change.before is not None and change.days < change.before
                if lower and not _is_on_record(connection, tenant_id, earlier, change):
                    text = (
                        f"the trail was kept for {change.before} days, from "
                        f"{change.at:%Y-%m-%d %H:%M:%S} on for {change.days}, and nobody set that"
                    )
                    report.add("retention_lowered", text, tenant_id=tenant_id)


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


def pruned(connection: Trail, report: VerificationReport) -> Pruned:
    """Returns the months that may be missing; one not dropped as claimed is a finding."""
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


def signed_retention(connection: Trail) -> SignedRetention:
    changes: dict[UUID, list[RetentionChange]] = defaultdict(list)
    for tenant_id, at, days, before in connection.execute(_HISTORY):
        changes[tenant_id].append(RetentionChange(at.astimezone(UTC), days, before))
    return SignedRetention(dict(changes))


def _is_on_record(
    connection: Trail, tenant_id: UUID, earlier: RetentionChange, change: RetentionChange
) -> bool:
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
