"""Verifies encrypted texts and their keys.

Each text is the ciphertext that its event names, under its subject's key; each key can be unwrapped
with the one above it, up to the master key.

A missing text must have been erased with its subject's key, as a tombstone with our signature says,
or have expired, as an event says. Somebody with access to the database can write such an event, but
not our signature. No event or row shortens the minimum of 184 days.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from audit.actions import Action
from audit.erasure import tombstones
from audit.erasure.tombstones import BadTombstone, TombstoneLine
from audit.keys.keyring import Unreadable, keyring
from audit.keys.master_keys.errors import MasterKeyAway, MasterKeyMissing
from audit.models import DataKey
from audit.verification import texts_elsewhere
from audit.verification.pruned import FLOOR, Pruned, signed_retention
from audit.verification.report import VerificationReport
from audit.verification.rows import Trail, VerificationRange

FIELDS = {
    Action.COMPLETION_RECEIVED: "request",
    Action.COMPLETION_COMPLETED: "response",
    Action.AUDIT_SEARCH: "search",
}
# Words of a search are under the key of the subject that the event names, else the tenant's.
_TEXTS = """
    select e.id, e.tenant_id, whose.subject_id, e.at, p.id is null,
           p.id is not null and sha256(p.ciphertext) <> e.payload_sha256
    from audit_event e
    left join unnest(%(actions)s::text[], %(fields)s::text[]) as kind(action, field)
        on kind.action = e.action
    cross join lateral (select case kind.field when 'search' then (e.detail->>'words_of')::uuid
                                               else e.subject_id end) as whose(subject_id)
    left join audit_payload p on p.request_id = e.request_id and p.at = e.at
        and p.tenant_id = e.tenant_id and p.field = kind.field
    left join audit_datakey k on k.id = p.data_key_id and k.tenant_id = e.tenant_id
        and k.subject_id is not distinct from whose.subject_id
    where e.payload_sha256 is not null and e.action <> all(%(elsewhere)s)
      and e.tenant_id = coalesce(%(tenant)s::uuid, e.tenant_id)
      and e.at >= coalesce(%(since)s::timestamptz, '-infinity')
      and e.at < coalesce(%(until)s::timestamptz, 'infinity')
      and not exists (select from unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[])
                      as month(begins, ends) where e.at >= begins and e.at < ends)
      and (p.id is null or k.id is null or sha256(p.ciphertext) <> e.payload_sha256)"""
_KEYS = """
    select id, tenant_id, subject_id, version, wrapped_by, wrapped from audit_datakey
    where tenant_id = coalesce(%s::uuid, tenant_id) and (subject_id is null) = %s"""
_ERASURES = """
    select id, tenant_id, subject_id from audit_event
    where action = 'subject_key:erase'
      and tenant_id = coalesce(%(tenant)s::uuid, tenant_id)
      and at >= coalesce(%(since)s::timestamptz, '-infinity')
      and at < coalesce(%(until)s::timestamptz, 'infinity')"""
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


class TextRow(NamedTuple):
    event_id: int
    tenant_id: UUID
    subject_id: UUID | None
    at: datetime
    missing: bool
    changed: bool


def check_texts(
    connection: Trail, span: VerificationRange, pruned: Pruned, report: VerificationReport
) -> None:
    values = {
        "tenant": span.tenant_id,
        "since": span.since,
        "until": span.until,
        "begins": [month.begins for month in pruned.texts],
        "ends": [month.ends for month in pruned.texts],
        "actions": list(FIELDS),
        "fields": list(FIELDS.values()),
        "elsewhere": texts_elsewhere.actions(),
    }
    missing = _MissingTexts(connection, report)
    for event_id, tenant_id, subject_id in connection.execute(_ERASURES, values):
        if not missing.is_erased(tenant_id, subject_id):
            text = f"event {event_id} speaks of an erasure that has no tombstone"
            report.add("erased_without_tombstone", text, tenant_id=tenant_id, event_id=event_id)
    for row in connection.execute(_TEXTS, values):
        _judge(TextRow(*row), missing, report)
    missing.check_totals()


def _judge(row: TextRow, missing: "_MissingTexts", report: VerificationReport) -> None:
    where: dict[str, Any] = {"tenant_id": row.tenant_id, "event_id": row.event_id}
    if row.changed:
        report.add("text_changed", f"the text of event {row.event_id} was changed", **where)
    elif missing.is_erased(row.tenant_id, row.subject_id):
        report.count("texts_erased")
    elif row.missing and missing.is_expired(row.tenant_id, row.at):
        report.count("texts_pruned")
    elif row.missing:
        report.add("text_missing", f"the text of event {row.event_id} is gone", **where)
    else:
        text = f"the text of event {row.event_id} does not hang from its subject's key"
        report.add("text_key", text, **where)


class _MissingTexts:
    """The reasons that the trail gives for missing texts."""

    def __init__(self, connection: Trail, report: VerificationReport) -> None:
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


def _in_database(connection: Trail, report: VerificationReport) -> set[tuple[UUID, UUID]]:
    owners = set()
    for tenant_id, subject_id, request_id, removes, at, signature in connection.execute(_STONES):
        line = TombstoneLine(
            tenant_id, subject_id, request_id, removes, at.astimezone(UTC), signature
        )
        if line.is_ours():
            owners.add(line.owner)
        else:
            text = f"the tombstone of request {line.request_id} is not signed by us"
            report.add("tombstone_broken", text, tenant_id=line.tenant_id)
    return owners


def _on_file(report: VerificationReport) -> set[tuple[UUID, UUID]]:
    try:
        return {line.owner for line in tombstones.lines()}
    except BadTombstone as problem:
        report.add("tombstone_broken", f"{tombstones.path()}: {problem}")
        return set()


# Keys --------------------------------------------------------------------------------------------
def check_data_keys(
    connection: Trail, span: VerificationRange, report: VerificationReport, *, must: bool = False
) -> None:
    """Checks that every key opens.

    Elsewhere than at home there is no master key, which is noted; if one `must` be there, it is a
    finding.
    """
    try:
        tenants = [(row, _opens(row)) for row in _keys(connection, span, of_tenants=True)]
        if not must and tenants and all(opens is None for _, opens in tenants):
            report.notes.append("the master key is not at hand: whether keys open was not tried")
            return
        unreadable = {row.id for row, opens in tenants if not opens}
        for row, opens in tenants:
            _count(row, bool(opens), report)
        for row in _keys(connection, span, of_tenants=False):
            _count(row, row.wrapped_by not in unreadable and bool(_opens(row)), report)
    except MasterKeyAway as problem:
        report.notes.append(f"not every key was tried: {problem}")


def _keys(connection: Trail, span: VerificationRange, *, of_tenants: bool) -> Iterator[DataKey]:
    names = ("id", "tenant_id", "subject_id", "version", "wrapped_by", "wrapped")
    with connection.cursor("data_keys") as cursor:
        cursor.itersize = 1000
        cursor.execute(_KEYS, [span.tenant_id, of_tenants])
        for values in cursor:
            yield DataKey(**dict(zip(names, values, strict=True)))


def _opens(row: DataKey) -> bool | None:
    """Returns True if the key opens, or None if its master key is unknown here."""
    try:
        keyring.unwrap(row)
    except Unreadable:
        return False
    except MasterKeyMissing:
        return None
    return True


def _count(row: DataKey, opens: bool, report: VerificationReport) -> None:
    report.count("data_keys")
    if not opens:
        text = f"key {row.id} does not open: what it has sealed is lost"
        report.add("key_unreadable", text, tenant_id=row.tenant_id)
