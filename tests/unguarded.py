"""What only tests do to append-only tables: empty them, and damage them as an intruder would."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.signals import post_migrate

from audit.trail import append_only
from audit.trail.shipped_sql import FOLDER
from config.supervisor.embedded.postgres import REQUESTS_ROLE
from tenants import sql_installation

_ALLOW = """
    create or replace function audit_refuse_truncate() returns trigger language plpgsql as $$
    begin return null; end $$"""


def let_tests_truncate() -> None:
    """Django empties the tables between tests. Only the test database allows it."""
    post_migrate.connect(_allow_truncate, dispatch_uid="tests")  # after ours, which forbids it


def _allow_truncate(*, app_config: Any, **signal: Any) -> None:
    """Receives post_migrate, after sql_installation.install has forbidden it."""
    if app_config.label == "inference" and "plan" in signal:
        with connection.cursor() as cursor:
            cursor.execute(_ALLOW)


@contextmanager
def unguarded() -> Iterator[None]:
    """As the owner of the tables, who can disable what stops everybody else."""
    _switch("disable")
    try:
        yield
    finally:
        _switch("enable")


def _switch(to: str) -> None:
    with connection.cursor() as cursor:
        if connection.in_atomic_block:  # no table changes with foreign keys still to be looked at
            cursor.execute("set constraints all immediate; set constraints all deferred")
        for table in append_only.tables():
            cursor.execute(f'alter table "{table}" {to} trigger audit_append_only')


@contextmanager
def protected() -> Iterator[None]:
    """One transaction of the application in a database that was handed over: it is rolled back.

    For tests with transaction=True.
    """
    application = connection.settings_dict["USER"]
    with _superuser(), transaction.atomic():
        sql_installation.hand_over(application, REQUESTS_ROLE)
        with administrator(back=application):
            _run(as_shipped())
        yield
        transaction.set_rollback(True)


@contextmanager
def as_requests(back: str = "forebay") -> Iterator[None]:
    """Within `protected`: as the web process connects for requests."""
    _run(f'set local session authorization "{REQUESTS_ROLE}"')
    _run("set local forebay.system to ''")
    yield
    _run(f'set local session authorization "{back}"')
    _run("set local forebay.system to 'on'")


@contextmanager
def administrator(back: str = "forebay") -> Iterator[None]:
    """Within `protected`, and nowhere else."""
    _run("set local session authorization default")
    yield
    _run(f'set local session authorization "{back}"')


def as_shipped() -> str:
    """Takes back what `_allow_truncate` did."""
    text = (FOLDER / "2_append_only.sql").read_text()
    head = "create or replace function audit_refuse_truncate()"
    return head + text.split(head)[1].split("\n\n")[0]


@contextmanager
def _superuser() -> Iterator[None]:
    secret = Path(os.environ["FOREBAY_HOME"]) / "secrets" / "postgres.password"
    if not secret.exists():
        pytest.skip("needs the embedded PostgreSQL's superuser")
    before = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(USER="postgres", PASSWORD=secret.read_text().strip())
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(USER=before["USER"], PASSWORD=before["PASSWORD"])


def _run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
