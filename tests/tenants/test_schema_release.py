"""Code and tables that do not fit: nothing starts, and a line says what to run."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from config import celery, process_start
from infrastructure import release
from infrastructure.postgres import schema_release
from tenants import sql_installation
from tenants.isolation import row_security

pytestmark = pytest.mark.django_db(transaction=True)

OLDER = f"the tables are of Forebay 0.1.9, this is {release.VERSION}: run `forebay migrate`"
NEWER = f"nothing before 9.8.0 runs, and this is {release.VERSION}: install 9.9.0"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    execute("drop function if exists forebay_of_the_future()")
    (table,) = (path for path in sql_installation.functions() if path.stem == "1_schema_release")
    execute(table.read_text())
    schema_release.write()


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def migrated_by(version: str, oldest_beside: str = "0.1.0") -> None:
    execute(
        f"update tenants_schemarelease set version = '{version}', oldest_beside = '{oldest_beside}'"
    )


def test_what_was_migrated_by_this_version_fits() -> None:
    assert schema_release.read() == schema_release.SchemaRelease(
        release.VERSION, release.OLDEST_BESIDE
    )
    assert process_start.release_problem() == ""


def test_a_later_version_may_have_migrated_where_ours_still_runs_on_it() -> None:
    migrated_by("9.9.0", release.VERSION)
    assert process_start.release_problem() == ""


@pytest.mark.parametrize(
    ("version", "oldest", "said"), [("0.1.9", "0.1.0", OLDER), ("9.9.0", "9.8.0", NEWER)]
)
def test_other_tables_stop_every_process(version: str, oldest: str, said: str) -> None:
    migrated_by(version, oldest)
    assert said in process_start.startup_problem()
    for role in (celery._may_start, celery._know_the_queues):
        with pytest.raises(SystemExit, match="the tables are of Forebay"):
            role()


def test_tables_from_before_there_were_releases() -> None:
    execute("drop table tenants_schemarelease")
    assert "run `forebay migrate`" in process_start.release_problem()


def test_migrate_of_an_older_version_changes_nothing() -> None:
    """Its functions would be a step back for the newer code beside it."""
    migrated_by("9.9.0", release.VERSION)
    execute("create function forebay_of_the_future() returns int return 1")
    ours = "select pg_get_functiondef('tenants_scope_is_proven'::regproc)"
    with connection.cursor() as cursor:
        cursor.execute(ours)
        (before,) = cursor.fetchone()
        cursor.execute(before.replace("AS $function$", "AS $function$ -- of 9.9.0"))
        call_command("migrate", verbosity=0)
        cursor.execute(ours)
        assert "of 9.9.0" in cursor.fetchone()[0]
        cursor.execute(before)
    assert schema_release.read() == schema_release.SchemaRelease("9.9.0", release.VERSION)


def test_migrate_on_tables_that_are_too_new_is_refused() -> None:
    migrated_by("9.9.0", "9.8.0")
    with pytest.raises(CommandError, match="install 9.9.0"):
        call_command("migrate", verbosity=0)


def test_half_a_migration_leaves_the_old_version(monkeypatch: pytest.MonkeyPatch) -> None:
    migrated_by("0.1.9")
    with monkeypatch.context() as broken:
        broken.setattr(row_security, "enforce", fails)
        with pytest.raises(ZeroDivisionError):
            call_command("migrate", verbosity=0)
    assert OLDER in process_start.release_problem()
    call_command("migrate", verbosity=0)
    assert process_start.release_problem() == ""


def fails() -> None:
    raise ZeroDivisionError


def test_of_two_migrations_one_is_told_to_come_again() -> None:
    first = connection.copy()
    try:
        with first.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(%s)", [schema_release._LOCK])
        with pytest.raises(CommandError, match="another migration is running"):
            sql_installation.refuse_if_impossible(
                app_config=SimpleNamespace(label="audit"), plan=["something to do"]
            )
    finally:
        first.close()
