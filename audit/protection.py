"""Who owns what: the application writes rows, and has no say over tables, triggers and functions.

An administrator hands the database to a role as which nobody can sign in. What the application
must be able to do beyond reading and writing rows is in functions that run as that role. Where
this was not done, triggers stop mistakes, but not an application that turns them off.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from audit import append_only

OWNER = "forebay_owner"
_READS, _ADDS = {"SELECT"}, {"SELECT", "INSERT"}
_WRITES = {"SELECT", "INSERT", "UPDATE", "DELETE"}
# Written by functions, or by migrations, alone.
_READ_ONLY = {"audit_prunedmonth", "django_migrations"}

_MAY_CHANGE = """
    select coalesce(bool_and(pg_has_role(relowner, 'USAGE')), true)
    from pg_class where oid = to_regclass('audit_event')"""
_HAND_OVER = Path(__file__).with_name("protection.sql").read_text()
_TABLES = """
    select c.relname, p.relname,
           array(select privilege_type::text from aclexplode(c.relacl)
                 where grantee in (0, %s::regrole))
    from pg_class c left join pg_inherits i on i.inhrelid = c.oid
    left join pg_class p on p.oid = i.inhparent
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
    order by 1"""
_UNFIT = """
    select case when not (select rolsuper from pg_roles where rolname = current_user)
                then 'connect as a superuser: ' || current_user || ' is none'
                when %(role)s in (%(owner)s, current_user) or rolsuper or rolbypassrls
                then %(role)s || ' must be the application''s own role, and no superuser' end
    from (select null) one left join pg_roles on rolname = %(role)s"""


class CannotProtect(Exception):
    """In one line: why, and what would help."""


def may_change() -> bool:
    """Whether this connection may alter tables and functions."""
    return bool(_rows(_MAY_CHANGE)[0][0])


def owner_exists() -> bool:
    return bool(_rows("select from pg_roles where rolname = %s", [OWNER]))


def enforce(role: str) -> None:
    """Hands everything over that is not OWNER's yet, and grants `role` what it needs.

    Connected as a superuser, with all migrations applied. Done again, it changes nothing.
    """
    ((unfit,),) = _rows(_UNFIT, {"role": role, "owner": OWNER})
    if unfit:
        raise CannotProtect(unfit)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select set_config('forebay.role', %s, true)", [role])
        cursor.execute(_HAND_OVER)
        for statement in _grants(role):
            cursor.execute(statement)


def wanted(table: str, parent: str | None) -> set[str]:
    """What the application may do with a table."""
    if parent:
        return set()  # rows are reached through the table that has the policies' rule
    if table in _READ_ONLY:
        return _READS
    return _ADDS if table in append_only.tables() else _WRITES


def _grants(role: str) -> Iterator[str]:
    for table, parent, granted in _rows(_TABLES, [role]):
        if set(granted) != (right := wanted(table, parent)):
            yield f'revoke all on "{table}" from "{role}", public'
            if right:
                yield f'grant {", ".join(sorted(right))} on "{table}" to "{role}"'


def _rows(query: str, values: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())
