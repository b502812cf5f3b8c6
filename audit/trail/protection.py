"""Who owns what: the application writes rows, and has no say over tables, triggers and functions.

An administrator hands the database to a role as which nobody can sign in. What the application
must be able to do beyond reading and writing rows is in functions that run as that role. Where
this was not done, triggers stop mistakes, but not an application that turns them off.

The application has two roles: its own, a member of SYSTEM, may open the scope of all tenants; the
one for requests is none, so that no statement of a request opens it
(tenants/isolation/row_security.py).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from audit.trail import append_only

OWNER, SYSTEM = "forebay_owner", "forebay_system"
_READS, _ADDS = {"SELECT"}, {"SELECT", "INSERT"}
_WRITES = {"SELECT", "INSERT", "UPDATE", "DELETE"}
# Written by functions, or by migrations, alone.
_read_only = {"audit_prunedmonth", "django_migrations"}
_hidden: set[str] = set()  # read by functions alone
# Requests only read what the platform's own processes write.
_read_by_requests = {
    "audit_seal",
    "audit_checkpoint",
    "audit_tombstone",
    "audit_keymark",
    "audit_sealmark",
    "audit_witnessmark",
}
# What requests may call of the functions that run as the owner.
_callable_by_requests = {
    "audit_barred",
    "audit_hashes_under",
    "audit_keys_standing",
    "audit_longest_retention",
    "audit_retention_of",
}

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
_ONE_AT_A_TIME = "select pg_advisory_xact_lock(1096107081)"  # nor are months made meanwhile
_OWNERS_FUNCTIONS = """
    select p.proname, p.oid::regprocedure::text from pg_proc p
    where pronamespace = current_schema()::regnamespace and prosecdef
      and proowner = %s::regrole"""
# Anybody may make large objects, of any size: they are in no table, and no limit counts them.
_LARGE_OBJECTS = """
    select p.oid::regprocedure::text from pg_proc p
    where pronamespace = 'pg_catalog'::regnamespace
      and (starts_with(proname, 'lo_') or proname in ('loread', 'lowrite'))
      and (proacl is null or exists (select from aclexplode(proacl) where grantee = 0))"""
_UNFIT = """
    select case when not (select rolsuper from pg_roles where rolname = current_user)
                then 'connect as a superuser: ' || current_user || ' is none'
                when rolname is null then 'there is no role ' || %(role)s
                when %(role)s in (%(owner)s, current_user) or rolsuper or rolbypassrls
                then %(role)s || ' must be the application''s own role, and no superuser' end
    from (select null) one left join pg_roles on rolname = %(role)s"""
_UNFIT_FOR_REQUESTS = """
    select case when rolname is null then 'there is no role ' || %(role)s
                when rolname in (%(owner)s, %(system)s, %(application)s, current_user)
                  or rolsuper or rolbypassrls or not rolcanlogin
                  or pg_has_role(rolname, %(application)s, 'MEMBER')
                  or pg_has_role(rolname, %(owner)s, 'MEMBER')
                  or pg_has_role(rolname, %(system)s, 'MEMBER')
                then %(role)s || ' must be a role for requests alone: able to sign in, no '
                     || 'superuser, and no member of ' || %(application)s || ', ' || %(system)s
                     || ' or ' || %(owner)s end
    from (select null) one left join pg_roles on rolname = %(role)s"""


class CannotProtect(Exception):
    """In one line: why, and what would help."""


def register(
    *,
    hidden: Iterable[str] = (),
    read_only: Iterable[str] = (),
    read_by_requests: Iterable[str] = (),
    callable_by_requests: Iterable[str] = (),
) -> None:
    """For upper apps: tables that functions alone read, that nobody writes but a migration, or that
    requests only read, and functions that run as the owner.
    """
    _hidden.update(hidden)
    _read_only.update(read_only)
    _read_by_requests.update(read_by_requests)
    _callable_by_requests.update(callable_by_requests)


def may_change() -> bool:
    """Whether this connection may alter tables and functions."""
    return bool(_rows(_MAY_CHANGE)[0][0])


def owner_exists() -> bool:
    return bool(_rows("select from pg_roles where rolname = %s", [OWNER]))


def enforce(role: str, for_requests: str = "") -> None:
    """Hands everything over that is not OWNER's yet, and grants both roles what they need.

    Connected as a superuser, with all migrations applied. Done again, it changes nothing; done
    twice at once, one waits for the other. The policies follow
    (tenants/isolation/row_security.py). Raises CannotProtect.
    """
    _refuse(_UNFIT, role=role, owner=OWNER)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME)
        cursor.execute("select set_config('forebay.role', %s, true)", [role])
        cursor.execute(_HAND_OVER)
        for statement in (*_without_large_objects(), *_grants(role)):
            cursor.execute(statement)
        if for_requests:
            names = {"role": for_requests, "application": role, "owner": OWNER, "system": SYSTEM}
            _refuse(_UNFIT_FOR_REQUESTS, **names)
            for statement in (*_entrance(for_requests), *_grants(for_requests, requests=True)):
                cursor.execute(statement)


def wanted(table: str, parent: str | None, *, requests: bool = False) -> set[str]:
    """What the application may do with a table; `requests`: its role for requests."""
    if parent or table in _hidden:
        return set()  # rows are reached through the table that has the policies' rule
    if table in _read_only or (requests and table in _read_by_requests):
        return _READS
    return _ADDS if table in append_only.tables() else _WRITES


def _refuse(unfit: str, **names: str) -> None:
    ((problem,),) = _rows(unfit, names)
    if problem:
        raise CannotProtect(problem)


def _entrance(role: str) -> Iterator[str]:
    """As protection.sql has it for the application's own role, and less.

    All requests share this role, and PostgreSQL shows a role what its other connections run
    (pg_stat_activity): with it the proof of another tenant's scope. A temporary table could stand
    in for a real one in the next request on the same connection.
    """
    ((database, schema),) = _rows("select current_database(), current_schema()")
    yield f'alter role "{role}" set track_activities to off'
    yield f'revoke create, temporary on database "{database}" from "{role}"'
    yield f'grant connect on database "{database}" to "{role}"'
    yield f'revoke create on schema "{schema}" from "{role}"'
    yield f'grant usage on schema "{schema}" to "{role}"'
    yield f'grant usage on all sequences in schema "{schema}" to "{role}"'
    for name, signature in _rows(_OWNERS_FUNCTIONS, [OWNER]):
        verb, way = ("grant", "to") if name in _callable_by_requests else ("revoke", "from")
        yield f'{verb} execute on function {signature} {way} "{role}"'


def _without_large_objects() -> Iterator[str]:
    """Takes them from everybody: superusers keep them, and so does whoever was granted them."""
    for (signature,) in _rows(_LARGE_OBJECTS):
        yield f"revoke execute on function pg_catalog.{signature} from public"


def _grants(role: str, *, requests: bool = False) -> Iterator[str]:
    for table, parent, granted in _rows(_TABLES, [role]):
        if set(granted) != (right := wanted(table, parent, requests=requests)):
            yield f'revoke all on "{table}" from "{role}", public'
            if right:
                yield f'grant {", ".join(sorted(right))} on "{table}" to "{role}"'


def _rows(query: str, values: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())
