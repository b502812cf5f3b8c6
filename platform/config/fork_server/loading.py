"""Loads what the processes share. Requests are answered between the steps."""

import gc
import importlib
import os
from collections.abc import Iterator

# None may start a thread, open a connection or draw a number that two processes must not share:
# tests/config/fork_server/test_loading.py.
_MODULES = (
    "config.celery",
    "tenants.tasks",
    "inference.tasks",
    "console.tasks",
    "celery.bin.celery",
    "celery.apps.worker",
    "celery.beat",
    "config.schedule.scheduler",
    "uvicorn",
    "uvloop",
    "channels.auth",
    "jsonschema",
    "config.urls",
    "config.http.bounded_http",
    "config.asgi",
    "config.metrics.listener",
    "config.metrics.celery_tasks",
)


def set_up() -> None:
    """Set Django up, with the variables that all processes have."""
    gc.disable()  # nothing of it is garbage
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup(set_prefix=False)


def the_rest() -> Iterator[None]:
    """Load the other modules, migrations and static files, and yield after each step."""
    for name in _MODULES:
        importlib.import_module(name)
        yield
    _load_migrations()
    yield
    _load_static_files()
    yield


def _load_migrations() -> None:
    """Import them: each process that serves requests compares them with the tables."""
    from django.db.migrations.loader import MigrationLoader

    MigrationLoader(None)


def _load_static_files() -> None:
    """Hash and compress the files that web processes have in memory."""
    from config.http.hashed_files import served_files

    assert served_files().by_name
