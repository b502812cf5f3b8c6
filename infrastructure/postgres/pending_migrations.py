"""Whether the database lacks migrations that this code has."""

from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def unapplied() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
