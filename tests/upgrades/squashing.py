"""Squashed migrations, those which they replace, and databases that are made by either."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

Key = tuple[str, str]  # app, name


def every_step(connected: BaseDatabaseWrapper | None = None) -> MigrationLoader:
    """Returns a loader whose graph has the replaced migrations, whatever has been applied."""
    return MigrationLoader(connected, replace_migrations=False)


def squashed(loader: MigrationLoader) -> dict[Key, Migration]:
    return {
        key: migration for key, migration in loader.disk_migrations.items() if migration.replaces
    }


def replaced(loader: MigrationLoader) -> list[Key]:
    """Returns the replaced migrations in the order in which they run."""
    steps = {step for migration in squashed(loader).values() for step in migration.replaces}
    graph = every_step().graph
    plan = (key for step in sorted(steps) for key in graph.forwards_plan(step))
    return [key for key in dict.fromkeys(plan) if key in steps]


@contextmanager
def new_database(name: str) -> Iterator[None]:
    """Django is connected to an empty database of this name, which goes away at the end."""
    before = connection.settings_dict["NAME"]
    _outside(f'drop database if exists "{name}"', f'create database "{name}"')
    _connect(name)
    try:
        yield
    finally:
        _connect(before)
        _outside(f'drop database "{name}" with (force)')


def run_one_by_one(targets: Iterable[Key]) -> None:
    """Runs migrations up to these, and no squashed one, as versions before them did."""
    executor = MigrationExecutor(connection)
    executor.loader = every_step(connection)
    executor.migrate(list(targets))


def forget_squashing() -> None:
    """Leaves the record of migrations as versions before the squashed ones wrote it."""
    executor = MigrationExecutor(connection)
    for app, name in squashed(executor.loader):
        executor.recorder.record_unapplied(app, name)


def _connect(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


def _outside(*statements: str) -> None:
    with connection._nodb_cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
