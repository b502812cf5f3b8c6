"""What a database consists of, as text that can be compared. Rows are counted, not read."""

import re

from django.db import connection

from tests.unguarded import administrator, protected

_HERE = "current_schema()::regnamespace"
# By kind: each row is one thing with all its properties, but its number in this database.
_QUERIES = {
    "relations": f"""
        select relname, relkind, relpersistence, reloptions, relowner::regrole, relacl::text,
               relrowsecurity, relforcerowsecurity, relreplident, pg_get_partkeydef(oid),
               pg_get_expr(relpartbound, oid)
        from pg_class where relnamespace = {_HERE} and relkind not in ('i', 'I')""",
    "columns": f"""
        select c.relname, rank() over (partition by c.oid order by attnum), attname,
               format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid),
               attidentity, attgenerated, attstorage, attcompression, attstattarget,
               attcollation::regcollation, attacl::text, attoptions, attislocal, attinhcount
        from pg_attribute a join pg_class c on c.oid = attrelid
        left join pg_attrdef d on adrelid = attrelid and adnum = attnum
        where relnamespace = {_HERE} and attnum > 0 and not attisdropped
          and relkind not in ('i', 'I')""",
    "partitions": "select inhrelid::regclass, inhparent::regclass, inhseqno from pg_inherits",
    "constraints": f"""
        select conrelid::regclass, conname, contype, pg_get_constraintdef(oid), convalidated,
               condeferrable, condeferred, conislocal, coninhcount, connoinherit
        from pg_constraint where connamespace = {_HERE}""",
    "indexes": f"""
        select pg_get_indexdef(indexrelid), indisunique, indisprimary, indisvalid, indimmediate,
               indisclustered, indisreplident, indnullsnotdistinct, reloptions
        from pg_index join pg_class on oid = indexrelid where relnamespace = {_HERE}""",
    "sequences": """
        select sequencename, data_type, start_value, min_value, max_value, increment_by, cycle,
               cache_size, last_value
        from pg_sequences where sequencename <> 'django_migrations_id_seq'""",
    "sequences' columns": """
        select objid::regclass, refobjid::regclass, refobjsubid > 0, deptype
        from pg_depend join pg_class on oid = objid and relkind = 'S'
        where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass""",
    "functions": f"""
        select p.oid::regprocedure, pg_get_functiondef(p.oid), proowner::regrole, proacl::text
        from pg_proc p where pronamespace = {_HERE} and prokind in ('f', 'p')
          and not exists (select from pg_depend d where d.objid = p.oid and deptype = 'e')""",
    "triggers": """
        select tgrelid::regclass, tgname, pg_get_triggerdef(oid), tgenabled
        from pg_trigger where not tgisinternal""",
    "policies": """
        select tablename, policyname, permissive, roles::text, cmd, qual, with_check
        from pg_policies""",
    "types": f"select typname, typtype, typcategory from pg_type where typnamespace = {_HERE}",
    "statistics": "select stxname, pg_get_statisticsobjdef(oid) from pg_statistic_ext",
    "extensions": "select extname, extversion from pg_extension",
    "default rights": """
        select defaclrole::regrole, defaclobjtype, defaclacl::text from pg_default_acl""",
    "comments": f"""
        select objoid::regclass, objsubid, description
        from pg_description join pg_class c on c.oid = objoid where relnamespace = {_HERE}""",
}
_TABLES = f"""
    select relname from pg_class where relnamespace = {_HERE} and relkind = 'r'
      and relname <> 'django_migrations' order by 1"""

# A rename leaves the names of indexes, sequences and constraints that were made before it.
_FORMER = {
    "tenants_teamplace": "tenants_teammembership",
    "_sealed_not_null": "_ciphertext_not_null",
    "_sealed_title_not_null": "_title_ciphertext_not_null",
}
_DIGEST = re.compile(r"(tenants_teammembership_[a-z_]+_)[0-9a-f]{8}")

Snapshot = dict[str, set[tuple[str, ...]]]


def snapshot() -> Snapshot:
    """Reads the database of `connection`, as if its tables had been handed over."""
    with protected(), administrator():
        kinds = {kind: _rows(query) for kind, query in _QUERIES.items()}
        counts = {(name, *row) for (name,) in _rows(_TABLES) for row in _rows(_count(name))}
        return {**kinds, "rows": counts}


def differences(one: Snapshot, other: Snapshot) -> list[str]:
    return [
        f"{kind}, {sign}: {' | '.join(row)}"
        for kind in one
        for sign, rows in (("-", one[kind] - other[kind]), ("+", other[kind] - one[kind]))
        for row in sorted(rows)
    ]


def _count(table: str) -> str:
    return f'select count(*) from "{table}"'


def _rows(query: str) -> set[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return {tuple(_renamed(str(value)) for value in row) for row in cursor.fetchall()}


def _renamed(text: str) -> str:
    for former, name in _FORMER.items():
        text = text.replace(former, name)
    return _DIGEST.sub(r"\1…", text)
