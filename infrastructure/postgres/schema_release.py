"""Whether this code and the tables of the database fit together (docs/operations/upgrade.md)."""

from dataclasses import dataclass

from django.db import connection

from infrastructure import release

MIGRATE = "run `forebay migrate` of this version as the administrator of the database"
ANOTHER_RUNS = "another migration is running on this database: let it end, and run this one again"
_LOCK = 1096107082
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
    """Of the version that migrated the tables last."""

    version: str
    oldest_beside: str

    @property
    def is_newer(self) -> bool:
        return release.is_before(release.VERSION, self.version)

    @property
    def mismatch(self) -> str:
        """Why this code must not run on such tables, in one line; "" when it may."""
        if release.is_before(self.version, release.VERSION):
            return f"the tables are of Forebay {self.version}, this is {release.VERSION}: {MIGRATE}"
        if release.is_before(release.VERSION, self.oldest_beside):
            return (
                f"the tables are of Forebay {self.version}, on which nothing before "
                f"{self.oldest_beside} runs, and this is {release.VERSION}: install {self.version}"
            )
        return ""


def write() -> None:
    """As the owner of the tables, once everything else is in its place."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, {"new": release.VERSION, "oldest": release.OLDEST_BESIDE})


def found() -> SchemaRelease | None:
    """None before the first migration of a version that says so (0.2.0)."""
    with connection.cursor() as cursor:
        cursor.execute(_EXISTS)
        if not cursor.fetchone()[0]:
            return None
        cursor.execute(_READ)
        row = cursor.fetchone()
    return SchemaRelease(*row) if row else None


def mismatch() -> str:
    """Why no process of this code may start on this database, in one line; "" when it may."""
    standing = found()
    if standing is None:
        return f"the tables are older than Forebay {release.VERSION}: {MIGRATE}"
    return standing.mismatch


def is_newer() -> bool:
    """Whether a later version has migrated: what it left is not for this one to change."""
    standing = found()
    return standing is not None and standing.is_newer


def hold(*, waits: bool) -> bool:
    """Keeps other migrations of this database away, until `let_go` or the connection's end."""
    with connection.cursor() as cursor:
        if waits:
            cursor.execute("select pg_advisory_lock(%s)", [_LOCK])
            return True
        cursor.execute("select pg_try_advisory_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def let_go() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_unlock(%s)", [_LOCK])
