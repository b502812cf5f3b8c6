"""What the code of the last release could not live with in a migration."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django_migration_linter.sql_analyser.analyser import (
    analyse_sql_statements,
    get_sql_analyser_class,
)

from tests.upgrades import released


def since_the_release(loader: MigrationLoader) -> Iterator[Migration]:
    """Of our apps, in no order. Raises KeyError where LEAVES names none that there is."""
    for app, leaf in released.LEAVES.items():
        loader.disk_migrations[app, leaf]
        for (label, name), migration in loader.disk_migrations.items():
            if label == app and name > leaf:
                yield migration


def objections(migration: Migration, before: ProjectState) -> list[str]:
    """By django-migration-linter, from the SQL that PostgreSQL would get."""
    with (
        _as_outside(migration),
        connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor,
    ):
        migration.apply(before.clone(), editor, collect_sql=True)
    statements: Sequence[str] = [line for line in editor.collected_sql if not line.startswith("--")]
    analyser = get_sql_analyser_class(connection.settings_dict["ENGINE"])
    errors, _ignored, _warnings = analyse_sql_statements(analyser, list(statements))
    return [f"{error.code}: {error.message}" for error in errors]


@contextmanager
def _as_outside(migration: Migration) -> Iterator[None]:
    """An index that is made while requests go on is made outside of transactions. A test is in one.

    Nothing is made here: SQL is collected.
    """
    before = connection.in_atomic_block
    connection.in_atomic_block = before and migration.atomic
    try:
        yield
    finally:
        connection.in_atomic_block = before
