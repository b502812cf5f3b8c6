"""Ownership of the database: the application writes rows, but cannot change tables and functions.

An administrator hands the database over to a role that cannot sign in. Functions that run as that
role do what the application needs beyond reading and writing rows. Without this, triggers stop
mistakes, but not an application that disables them.

The application has two roles: its own, a member of SYSTEM, may open the scope of all tenants; the
role for requests is no member, so no statement of a request can open it
(tenants/isolation/row_security.py).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from django.db import transaction

from audit.trail import append_only
from infrastructure.postgres.queries import rows, value

OWNER, SYSTEM = "forebay_owner", "forebay_system"
_READS, _ADDS = {"SELECT"}, {"SELECT", "INSERT"}
_WRITES = {"SELECT", "INSERT", "UPDATE", "DELETE"}
# Only functions or migrations write these.
_read_only = {"audit_prunedmonth", "django_migrations"}
_hidden: set[str] = set()  # only functions read these
# The platform's own processes write these; requests only read them.
_read_by_requests = {
    "audit_seal",
    "audit_checkpoint",
    "audit_tombstone",
    "audit_keymark",
    "audit_sealmark",
    "audit_witnessmark",
}
# Functions that run as the owner and that requests may call.
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
_HAND_OVER = Path(__file__).with_name("database_owner.sql").read_text()
_TABLES = """
    select c.relname, p.relname,
           array(select privilege_type::text from aclexplode(c.relacl)
                 where grantee in (0, %s::regrole))
    from pg_class c left join pg_inherits i on i.inhrelid = c.oid
    left join pg_class p on p.oid = i.inhparent
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
    order by 1"""
_ONE_AT_A_TIME = (
    "select pg_advisory_xact_lock(1096107081)"  # partitions are not made meanwhile either
)
_OWNERS_FUNCTIONS = """
    select p.proname, p.oid::regprocedure::text from pg_proc p
    where pronamespace = current_schema()::regnamespace and prosecdef
      and proowner = %s::regrole"""
# By default every role may make large objects of any size, which no table or limit counts.
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
    """One line that says why, and what to do."""


def register(
    *,
    hidden: Iterable[str] = (),
    read_only: Iterable[str] = (),
    read_by_requests: Iterable[str] = (),
    callable_by_requests: Iterable[str] = (),
) -> None:
    """Registers tables and functions of other apps.

    `hidden`: only functions read them; `read_only`: only migrations write them; `read_by_requests`:
    requests only read them; `callable_by_requests`: functions that run as the owner.
    """
    _hidden.update(hidden)
    _read_only.update(read_only)
    _read_by_requests.update(read_by_requests)
    _callable_by_requests.update(callable_by_requests)


def may_change() -> bool:
    """Returns True if this connection may alter tables and functions."""
    return bool(value(_MAY_CHANGE))


def owner_exists() -> bool:
    return bool(rows("select from pg_roles where rolname = %s", [OWNER]))


def enforce(role: str, for_requests: str = "") -> None:
    """Hands everything over that is not OWNER's yet, and grants both roles their privileges.

    Needs a superuser's connection and all migrations. A second run changes nothing; concurrent runs
    wait for each other. The policies follow (tenants/isolation/row_security.py). Raises
    CannotProtect.
    """
    _refuse(_UNFIT, role=role, owner=OWNER)
    with transaction.atomic():
        rows(_ONE_AT_A_TIME)
        rows("select set_config('forebay.role', %s, true)", [role])
        rows(_HAND_OVER)
        for statement in (*_without_large_objects(), *_grants(role)):
            rows(statement)
        if for_requests:
            names = {"role": for_requests, "application": role, "owner": OWNER, "system": SYSTEM}
            _refuse(_UNFIT_FOR_REQUESTS, **names)
            for statement in (*_entrance(for_requests), *_grants(for_requests, requests=True)):
                rows(statement)


def wanted(table: str, parent: str | None, *, requests: bool = False) -> set[str]:
    """Returns the application's privileges on a table; `requests`: those of requests' role."""
    if parent or table in _hidden:
        return set()  # rows are reached through the parent table, which has the policies
    if table in _read_only or (requests and table in _read_by_requests):
        return _READS
    return _ADDS if table in append_only.tables() else _WRITES


def _refuse(unfit: str, **names: str) -> None:
    if problem := value(unfit, names):
        raise CannotProtect(problem)


def _entrance(role: str) -> Iterator[str]:
    """Yields the grants of requests' role: fewer than the application's (database_owner.sql).

    All requests share this role, and PostgreSQL shows a role the statements of its other
    connections (pg_stat_activity), including the proof of another tenant's scope. A temporary table
    could replace a real one in the next request on the same connection.
    """
    ((database, schema),) = rows("select current_database(), current_schema()")
    yield f'alter role "{role}" set track_activities to off'
    yield f'revoke create, temporary on database "{database}" from "{role}"'
    yield f'grant connect on database "{database}" to "{role}"'
    yield f'revoke create on schema "{schema}" from "{role}"'
    yield f'grant usage on schema "{schema}" to "{role}"'
    yield f'grant usage on all sequences in schema "{schema}" to "{role}"'
    for name, signature in rows(_OWNERS_FUNCTIONS, [OWNER]):
        verb, way = ("grant", "to") if name in _callable_by_requests else ("revoke", "from")
        yield f'{verb} execute on function {signature} {way} "{role}"'


def _without_large_objects() -> Iterator[str]:
    """Revokes large objects from PUBLIC; superusers and explicit grantees keep them."""
    for (signature,) in rows(_LARGE_OBJECTS):
        yield f"revoke execute on function pg_catalog.{signature} from public"


def _grants(role: str, *, requests: bool = False) -> Iterator[str]:
    for table, parent, granted in rows(_TABLES, [role]):
        if set(granted) != (right := wanted(table, parent, requests=requests)):
            yield f'revoke all on "{table}" from "{role}", public'
            if right:
                yield f'grant {", ".join(sorted(right))} on "{table}" to "{role}"'
