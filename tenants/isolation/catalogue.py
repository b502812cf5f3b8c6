"""Reads tables, policies and constraints from PostgreSQL's catalogue."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from audit.trail.database_owner import OWNER, SYSTEM

_TABLES = """
    select c.relname, c.relrowsecurity, c.relforcerowsecurity, p.relname as parent,
           array(select attname::text from pg_attribute
                 where attrelid = c.oid and attnum > 0 and not attisdropped) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_inherits i on i.inhrelid = c.oid left join pg_class p on p.oid = i.inhparent
    where n.nspname = current_schema() and c.relkind in ('r', 'p') order by c.relname"""
_POLICIES = """
    select tablename, policyname, permissive, roles::text[], cmd, qual, with_check
    from pg_policies where schemaname = current_schema()"""
_CONSTRAINTS = """
    select c.relname, k.conname, k.contype::text, f.relname as target,
           array(select a.attname::text from unnest(k.conkey) with ordinality as u(n, o)
                 join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.n order by o),
           array(select a.attname::text from unnest(k.confkey) with ordinality as u(n, o)
                 join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.n order by o),
           k.convalidated
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    join pg_namespace n on n.oid = c.relnamespace left join pg_class f on f.oid = k.confrelid
    where n.nspname = current_schema() and k.contype in ('f', 'u', 'p')"""
_ROLE = "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"
_HANDED_OVER = """
    select exists (select from pg_class c join pg_roles o on o.oid = c.relowner
                   where c.oid = to_regclass('audit_event') and o.rolname = %s)
       and to_regrole(%s) is not null"""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    enabled: bool
    forced: bool
    parent: str | None  # set for a partition
    columns: list[str]


@dataclass(frozen=True, slots=True)
class Constraint:
    table: str
    name: str
    kind: str  # "f" foreign key, "u" unique, "p" primary key
    target: str | None
    columns: list[str]
    target_columns: list[str]
    valid: bool


@dataclass(slots=True)
class Catalogue:
    tables: dict[str, Table]
    policies: dict[str, set[tuple[Any, ...]]]
    constraints: list[Constraint] = field(default_factory=list)
    sees_through: bool = False  # a superuser or a role with BYPASSRLS, which no policy restricts
    handed_over: bool = False  # audit/trail/database_owner.py

    @classmethod
    def read(cls) -> "Catalogue":
        policies: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
        for table, *policy in _rows(_POLICIES):
            policies[table].add((*policy[:2], tuple(policy[2]), *policy[3:]))
        return cls(
            tables={row[0]: Table(*row) for row in _rows(_TABLES)},
            policies=policies,
            constraints=[Constraint(*row) for row in _rows(_CONSTRAINTS)],
            sees_through=_rows(_ROLE)[0][0],
            handed_over=_rows(_HANDED_OVER, [OWNER, SYSTEM])[0][0],
        )

    def with_partitions(self, table: str) -> list[str]:
        """Returns the table and all its partitions; nothing if there is no such table."""
        below = [t.name for t in self.tables.values() if t.parent == table]
        deeper = [name for child in below for name in self.with_partitions(child)]
        return [table, *deeper] if table in self.tables else []


def _rows(query: str, values: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())
