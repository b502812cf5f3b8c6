"""The sealed texts: each is the ciphertext that its event names, and hangs from its key.

One that is gone must have been erased with its subject's key, or dropped with its month.
"""

from typing import Any

import psycopg

from audit.verification.pruned import Pruned
from audit.verification.report import Report
from audit.verification.span import Span

_TEXTS = """
    with erased as materialized (
        select tenant_id, subject_id, max(at) as at from audit_event
        where action = 'subject_key:erase' and subject_id is not null group by 1, 2)
    select e.id, e.tenant_id, p.id is null as missing,
           p.id is not null and sha256(p.sealed) <> e.payload_sha256 as changed,
           exists (select from erased x where x.tenant_id = e.tenant_id
                   and x.subject_id = e.subject_id and x.at >= e.at) as erased
    from audit_event e
    left join audit_payload p on p.request_id = e.request_id and p.at = e.at
        and p.tenant_id = e.tenant_id and p.field = case e.action
            when 'completion:received' then 'request' else 'response' end
    left join audit_datakey k on k.id = p.data_key_id and k.tenant_id = e.tenant_id
        and k.subject_id = e.subject_id
    where e.payload_sha256 is not null
      and e.tenant_id = coalesce(%(tenant)s::uuid, e.tenant_id)
      and e.at >= coalesce(%(since)s::timestamptz, '-infinity')
      and e.at < coalesce(%(until)s::timestamptz, 'infinity')
      and not exists (select from unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[])
                      as month(begins, ends) where e.at >= begins and e.at < ends)
      and (p.id is null or k.id is null or sha256(p.sealed) <> e.payload_sha256)"""


def check_texts(
    connection: psycopg.Connection[Any], span: Span, pruned: Pruned, report: Report
) -> None:
    asked = {
        "tenant": span.tenant_id,
        "since": span.since,
        "until": span.until,
        "begins": [month.begins for month in pruned.texts],
        "ends": [month.ends for month in pruned.texts],
    }
    for event_id, tenant_id, missing, changed, erased in connection.execute(_TEXTS, asked):
        where = {"tenant_id": tenant_id, "event_id": event_id}
        if changed:
            report.add("text_changed", f"the text of event {event_id} was changed", **where)
        elif erased:
            report.count("texts_erased")
        elif missing:
            report.add("text_missing", f"the text of event {event_id} is gone", **where)
        else:
            text = f"the text of event {event_id} does not hang from its subject's key"
            report.add("text_key", text, **where)
