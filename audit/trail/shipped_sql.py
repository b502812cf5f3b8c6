"""The functions and triggers of audit/sql and the constraints of audit/migrations, as shipped.

checks/catalogue_check.py compares the functions, and the triggers of append-only tables, which are
on each partition too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from infrastructure.postgres.queries import rows

FOLDER = Path(__file__).parents[1] / "sql"
_FUNCTION = re.compile(
    r"create or replace function (?P<name>\w+)\s*\((?P<head>.*?)\bas (?P<quote>\$\w*\$)"
    r"(?P<body>.*?)(?P=quote)(?P<tail>.*?);",
    re.DOTALL,
)
_SETTING = re.compile(r"^set (?P<name>\w+) = (?P<value>.+?)$", re.MULTILINE)
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


# Functions ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Function:
    name: str
    body: str
    as_owner: bool  # security definer
    settings: frozenset[str]


@cache
def shipped() -> list[Function]:
    return list(_functions(_shipped_sql()))


def _shipped_sql() -> str:
    return "".join(path.read_text() for path in sorted(FOLDER.glob("*.sql")))


def _functions(text: str) -> Iterator[Function]:
    for match in _FUNCTION.finditer(text):
        options = match["head"] + match["tail"]
        settings = frozenset(setting(*pair) for pair in _SETTING.findall(options))
        yield Function(match["name"], match["body"], "security definer" in options, settings)


def setting(name: str, value: str) -> str:
    """Returns a setting in one spelling, for the catalogue's and ours."""
    return f"{name}={value}".lower().replace("'", "").strip()


# Guards ------------------------------------------------------------------------------------------
class Trigger(NamedTuple):
    table: str
    name: str
    kind: str
    events: frozenset[str]
    how: str
    function: str


def loose_guards() -> Iterator[str]:
    triggers_there = rows(_THERE, [[trigger.name for trigger in triggers()]])
    existing = {trigger for (text,) in triggers_there for trigger in _triggers(text)}
    checks_there = rows(_CHECKS_THERE, [[name for _table, name in CHECKS]])
    checks = {(table, name): _spelled(text) for table, name, text in checks_there}
    for trigger in triggers():
        if trigger not in existing:
            yield f"table {trigger.table}: trigger {trigger.name} is missing, disabled or different"
    for (table, name), text in CHECKS.items():
        if checks.get((table, name)) != _spelled(text):
            yield f"table {table}: constraint {name} is missing or different"


@cache
def triggers() -> list[Trigger]:
    return list(_triggers(_shipped_sql()))


def _triggers(text: str) -> Iterator[Trigger]:
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
