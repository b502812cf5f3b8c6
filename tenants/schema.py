"""What Django's migrations cannot say, put in place after every `migrate`: functions and policies.

Both are written as they should be, not as changes: running them again does no harm.
"""

from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from tenants import row_security

APPS = ("audit", "tenants", "inference")


def put_in_place(*, app_config: Any, using: str, **signal: Any) -> None:
    """Receives post_migrate, once per app; acts when the last one of ours is through.

    Not after a flush, which changes no table, nor after a migration to somewhere in the middle.
    """
    if app_config.label == APPS[-1] and "plan" in signal and not unapplied():
        with transaction.atomic(using):
            for path in functions():
                _run(path)
            row_security.enforce()


def functions() -> list[Path]:
    """The files of `create or replace function …`, in the order in which they run."""
    folders = [Path(apps.get_app_config(app).path) / "sql" for app in APPS]
    return [path for folder in folders for path in sorted(folder.glob("*.sql"))]


def _run(path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute(path.read_text())


def unapplied() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
