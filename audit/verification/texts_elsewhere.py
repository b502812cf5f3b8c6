"""Verifies texts that stand in a row of another app instead of the trail's own table.

Each app registers its own in `ready()`. The row has the id of the event's request.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql

from audit.actions import Action
from audit.verification.report import VerificationReport
from audit.verification.rows import Trail, VerificationRange

# A row that is gone, and one that was emptied, are no findings: erasure and retention do both.
_CHANGED = sql.SQL("""
    select e.id, e.tenant_id from audit_event e
    join {table} kept on kept.id = e.request_id and kept.tenant_id = e.tenant_id
    where e.action = %(action)s and e.payload_sha256 is not null
      and e.tenant_id = coalesce(%(tenant)s::uuid, e.tenant_id)
      and e.at >= coalesce(%(since)s::timestamptz, '-infinity')
      and e.at < coalesce(%(until)s::timestamptz, 'infinity')
      and length(kept.{column}) > 0 and sha256(kept.{column}) <> e.payload_sha256""")


@dataclass(frozen=True, slots=True)
class TextPlace:
    """A table and its column of ciphertexts, whose SHA-256 the events of this action have."""

    action: Action
    table: str
    column: str


_places: dict[Action, TextPlace] = {}


def register(place: TextPlace) -> None:
    _places[place.action] = place


def actions() -> list[str]:
    """Returns the actions whose texts are no rows of audit_payload."""
    return [str(action) for action in _places]


def check_texts_elsewhere(
    connection: Trail, span: VerificationRange, report: VerificationReport
) -> None:
    for place in _places.values():
        for event_id, tenant_id in _changed(connection, span, place):
            text = f"the text of event {event_id} was changed (in {place.table})"
            report.add("text_changed", text, tenant_id=tenant_id, event_id=event_id)


def _changed(
    connection: Trail, span: VerificationRange, place: TextPlace
) -> Iterator[tuple[int, UUID]]:
    there = connection.execute("select to_regclass(%s) is not null", [place.table]).fetchone()
    if there != (True,):  # a database of an earlier version
        return
    values: dict[str, Any] = {
        "action": str(place.action),
        "tenant": span.tenant_id,
        "since": span.since,
        "until": span.until,
    }
    names = {"table": sql.Identifier(place.table), "column": sql.Identifier(place.column)}
    yield from connection.execute(_CHANGED.format(**names), values)
