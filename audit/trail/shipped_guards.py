"""The triggers of audit/sql and the constraints of audit/migrations that must not be loosened.

self_check.py checks those of append-only tables, which are on each partition too.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from django.db import connection

from audit.trail.shipped_functions import FOLDER

_TRIGGER = re.compile(
    r"create (?:or replace )?(?P<constraint>constraint )?trigger (?P<name>\w+)\s+"
    r"(?P<when>before|after) (?P<events>[\w\s,]+?)\s+on (?:\w+\.)?(?P<table>\w+)\s+"
    r"(?P<how>[^%;]*?)\s*execute function (?:\w+\.)?(?P<function>\w+)\(\)"
)
# Differences in spelling between PostgreSQL's conditions and ours.
_SPELLING = re.compile(r"::(text|timestamp with time zone)|[()\s]")
_CLOCK = "CHECK at >= '2000-01-01 00:00:00+00' AND at < '2200-01-01 00:00:00+00'"
CHECKS = {
    ("audit_event", "audit_event_of_a_clock"): _CLOCK,
    ("audit_payload", "audit_payload_of_a_clock"): _CLOCK,
    ("audit_legalhold", "audit_hold_two_people"): "CHECK NOT approved_by = requested_by",
    ("audit_legalhold", "audit_hold_two_people_release"): (
        "CHECK released_at IS NULL OR release_asked_at IS NOT NULL "
        "AND NOT released_by = release_asked_by"
    ),
}
_THERE = """
    select pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal
      and t.tgenabled = 'O' and t.tgname = any(%s)"""
_CHECKS_THERE = """
    select c.relname, o.conname, pg_get_constraintdef(o.oid)
    from pg_constraint o join pg_class c on c.oid = o.conrelid
    where c.relnamespace = current_schema()::regnamespace and o.contype = 'c' and o.convalidated
      and o.conname = any(%s)"""


class Trigger(NamedTuple):
    table: str
    name: str
    kind: str
    events: frozenset[str]
    how: str
    function: str


def loose_guards() -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(_THERE, [[trigger.name for trigger in triggers()]])
        existing = {trigger for (text,) in cursor for trigger in _parsed(text)}
        cursor.execute(_CHECKS_THERE, [[name for _table, name in CHECKS]])
        checks = {(table, name): _spelled(text) for table, name, text in cursor}
    for trigger in triggers():
        if trigger not in existing:
            yield f"table {trigger.table}: trigger {trigger.name} is missing, disabled or different"
    for (table, name), text in CHECKS.items():
        if checks.get((table, name)) != _spelled(text):
            yield f"table {table}: constraint {name} is missing or different"


@cache
def triggers() -> list[Trigger]:
    paths = sorted(FOLDER.glob("*.sql"))
    return [trigger for path in paths for trigger in _parsed(path.read_text())]


def _parsed(text: str) -> Iterator[Trigger]:
    for match in _TRIGGER.finditer(text.lower()):
        yield Trigger(
            match["table"],
            match["name"],
            f"{match['constraint'] or ''}{match['when']}",
            frozenset(" ".join(event.split()) for event in re.split(r"\bor\b", match["events"])),
            _spelled(match["how"]),
            match["function"],
        )


def _spelled(text: str) -> str:
    return _SPELLING.sub("", text.lower())
