"""A web process looks at the catalogue before it serves anybody."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import ProgrammingError, connection
from django.utils.module_loading import import_string
from psycopg.conninfo import make_conninfo

from tenants.isolation import check, row_security

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def gap() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("drop policy forebay_tenant on tenants_quota")
    yield
    row_security.enforce()


async def started() -> dict[str, Any]:
    """What the server is told at its start."""
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    application = import_string(settings.ASGI_APPLICATION)
    await application({"type": "lifespan", "state": {}}, receive, send)
    return said[0]


async def test_with_a_gap_it_does_not_start(gap: None) -> None:
    said = await started()
    assert said["type"] == "lifespan.startup.failed"
    assert "tenants_quota: policy forebay_tenant is missing" in said["message"]
    assert "forebay migrate" in said["message"]


async def test_with_another_secret_than_the_databases_it_does_not_start(settings: Any) -> None:
    settings.SCOPE_KEY = b"another"
    said = await started()
    assert said["type"] == "lifespan.startup.failed"
    assert "does not know this platform's secret" in said["message"]


@pytest.fixture
def sees_all() -> Iterator[None]:
    """As an administrator of the database could set it."""
    name = connection.settings_dict["NAME"]
    _as_superuser(f"alter database {name} set forebay.system = 'on'")
    yield
    _as_superuser(f"alter database {name} reset forebay.system")


def _as_superuser(statement: str) -> None:
    secret = Path(os.environ["FOREBAY_HOME"]) / "secrets" / "postgres.password"
    if not secret.exists():
        pytest.skip("needs the embedded PostgreSQL's superuser")
    password = secret.read_text().strip()
    where = make_conninfo(settings.DATABASE_URL, user="postgres", password=password)
    with psycopg.connect(where, autocommit=True) as database:
        database.execute(statement)


async def test_nor_where_everything_is_visible_anyway(sees_all: None) -> None:
    said = await started()
    assert said["type"] == "lifespan.startup.failed"
    assert "forebay.system is on" in said["message"]


async def test_with_a_role_for_requests_that_may_nothing_it_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied() -> bool:
        raise ProgrammingError("permission denied for table django_migrations\nLINE 1")

    monkeypatch.setattr(check, "_patiently_unapplied", denied)
    said = await started()
    assert said["type"] == "lifespan.startup.failed"
    assert "audit_protect --requests-role" in said["message"]
    assert said["message"].endswith("permission denied for table django_migrations")


def test_an_application_that_owns_its_tables_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    assert check.startup_problem() == ""
    assert "the application owns its tables" in caplog.text
