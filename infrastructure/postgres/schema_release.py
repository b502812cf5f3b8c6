"""Checks that this code and the database's tables fit together (docs/operations/upgrade.md)."""

from dataclasses import dataclass

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from infrastructure import release

MIGRATE = "run `forebay migrate` of this version as the administrator of the database"
ANOTHER_RUNS = "another migration is running on this database: let it end, and run this one again"
_LOCK = 1096107082
# Any role may take an advisory lock. One that cannot change tables does not migrate.
_END_STRANGERS = """
    select pg_terminate_backend(l.pid, 5000) from pg_locks l
    join pg_stat_activity a on a.pid = l.pid
    join pg_database d on d.oid = l.database and d.datname = current_database()
    join pg_class c on c.oid = to_regclass('django_migrations')
    where l.locktype = 'advisory' and l.classid = 0 and l.objid = %s and l.objsubid = 1
      and not pg_has_role(a.usesysid, c.relowner, 'USAGE')"""
_EXISTS = "select to_regclass('tenants_schemarelease') is not null"
_READ = "select version, oldest_beside from tenants_schemarelease"
_WRITE = """
    insert into tenants_schemarelease (id, version, oldest_beside) values (1, %(new)s, %(oldest)s)
    on conflict (id) do update
    set version = %(new)s, oldest_beside = %(oldest)s, migrated_at = now()
    where (tenants_schemarelease.version, tenants_schemarelease.oldest_beside)
       <> (%(new)s, %(oldest)s)"""


@dataclass(frozen=True)
class SchemaRelease:
    """The version that migrated the tables last, and the oldest that runs on them."""

    version: str
    oldest_beside: str

    @property
    def is_newer(self) -> bool:
        return release.is_before(release.VERSION, self.version)

    @property
    def mismatch(self) -> str:
        """One line on why this code must not run on such tables, or "" if it may."""
        if release.is_before(self.version, release.VERSION):
            return f"the tables are of Forebay {self.version}, this is {release.VERSION}: {MIGRATE}"
        if release.is_before(release.VERSION, self.oldest_beside):
            return (
                f"the tables are of Forebay {self.version}, on which nothing before "
                f"{self.oldest_beside} runs, and this is {release.VERSION}: install {self.version}"
            )
        return ""


def write() -> None:
    """Records this version, as the owner of the tables, after all other changes."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, {"new": release.VERSION, "oldest": release.OLDEST_BESIDE})


def read() -> SchemaRelease | None:
    """Returns the record, or None before the first migration of a version that writes it
    (0.2.0).
    """
    with connection.cursor() as cursor:
        cursor.execute(_EXISTS)
        if not cursor.fetchone()[0]:
            return None
        cursor.execute(_READ)
        row = cursor.fetchone()
    return SchemaRelease(*row) if row else None


def mismatch() -> str:
    """Returns one line on why no process of this code may start on this database, or "" if it
    may.
    """
    schema = read()
    older = f"the tables are older than Forebay {release.VERSION}: {MIGRATE}"
    return schema.mismatch if schema else older


def unapplied() -> bool:
    """Returns whether migrations of this code are missing in the database."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def is_newer() -> bool:
    """Returns True if a later version has migrated, whose tables this one must not change."""
    schema = read()
    return schema is not None and schema.is_newer


def lock(*, waits: bool) -> bool:
    """Excludes other migrations of this database, until `unlock` or the connection's end.

    Ends connections that hold this lock and cannot be a migration: they would prevent all of them.
    """
    function = "pg_advisory_lock" if waits else "pg_try_advisory_lock"
    with connection.cursor() as cursor:
        cursor.execute(_END_STRANGERS, [_LOCK])
        cursor.execute(f"select {function}(%s)", [_LOCK])
        return waits or bool(cursor.fetchone()[0])


def unlock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_unlock(%s)", [_LOCK])
