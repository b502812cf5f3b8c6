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
)


def set_up() -> None:
    """Set Django up, with the variables that all processes have."""
    gc.disable()  # nothing of it is garbage
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup(set_prefix=False)


def the_rest() -> Iterator[None]:
    """Load the other modules, and yield after each."""
    for name in _MODULES:
        importlib.import_module(name)
        yield
