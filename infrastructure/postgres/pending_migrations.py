"""Checks the database for migrations of this code that were not applied."""

from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def unapplied() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
