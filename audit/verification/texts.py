"""Verifies encrypted texts: each is the ciphertext that its event names, under its subject's key.

A missing text must have been erased with its subject's key, or have expired.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from audit.actions import Action
from audit.verification.missing_texts import GoneTexts
from audit.verification.pruned import Pruned
from audit.verification.report import Report
from audit.verification.time_range import TimeRange

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
    where e.payload_sha256 is not null
      and e.tenant_id = coalesce(%(tenant)s::uuid, e.tenant_id)
      and e.at >= coalesce(%(since)s::timestamptz, '-infinity')
      and e.at < coalesce(%(until)s::timestamptz, 'infinity')
      and not exists (select from unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[])
                      as month(begins, ends) where e.at >= begins and e.at < ends)
      and (p.id is null or k.id is null or sha256(p.ciphertext) <> e.payload_sha256)"""
_ERASURES = """
    select id, tenant_id, subject_id from audit_event
    where action = 'subject_key:erase'
      and tenant_id = coalesce(%(tenant)s::uuid, tenant_id)
      and at >= coalesce(%(since)s::timestamptz, '-infinity')
      and at < coalesce(%(until)s::timestamptz, 'infinity')"""


class Row(NamedTuple):
    event_id: int
    tenant_id: UUID
    subject_id: UUID | None
    at: datetime
    missing: bool
    changed: bool


def check_texts(
    connection: psycopg.Connection[Any], span: TimeRange, pruned: Pruned, report: Report
) -> None:
    values = {
        "tenant": span.tenant_id,
        "since": span.since,
        "until": span.until,
        "begins": [month.begins for month in pruned.texts],
        "ends": [month.ends for month in pruned.texts],
        "actions": list(FIELDS),
        "fields": list(FIELDS.values()),
    }
    missing = GoneTexts(connection, report)
    for event_id, tenant_id, subject_id in connection.execute(_ERASURES, values):
        if not missing.is_erased(tenant_id, subject_id):
            text = f"event {event_id} speaks of an erasure that has no tombstone"
            report.add("erased_without_tombstone", text, tenant_id=tenant_id, event_id=event_id)
    for row in connection.execute(_TEXTS, values):
        _judge(Row(*row), missing, report)
    missing.check_totals()


def _judge(row: Row, missing: GoneTexts, report: Report) -> None:
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
