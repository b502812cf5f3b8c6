"""Loads what the processes share. Requests are answered between the steps."""

import gc
import importlib
import os
from collections.abc import Iterator, Mapping

# In this order. None may start a thread, open a connection or draw a random number as it is loaded:
# tests/config/fork_server/test_loading.py.
_BEFORE_SETTINGS = (
    "django.core.management",
    "django.db.models",
    "psycopg",
    "celery.app",
    "kombu.transport.redis",
    "cryptography.x509",
)
_AFTER_SETTINGS = (
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


def before_settings() -> None:
    gc.disable()  # nothing of it is garbage
    for name in _BEFORE_SETTINGS:
        importlib.import_module(name)


def set_up(environment: Mapping[str, str]) -> None:
    """Set Django up with a platform's variables."""
    os.environ.update(environment, DJANGO_SETTINGS_MODULE="config.settings")
    import django

    django.setup(set_prefix=False)


def after_settings() -> Iterator[None]:
    """Load the rest, and yield after each step."""
    for name in _AFTER_SETTINGS:
        importlib.import_module(name)
        yield
