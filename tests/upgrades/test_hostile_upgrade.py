"""Whoever speaks SQL as a request or as the application cannot use an upgrade, nor prevent one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from psycopg.conninfo import make_conninfo

from config.supervisor.embedded.postgres import REQUESTS_ROLE
from infrastructure.postgres import schema_release
from tenants import sql_installation
from tenants.isolation import row_security
from tenants.models import Tenant
from tests.unguarded import administrator, as_requests, protected
from tests.upgrades import released
from tests.upgrades.squashing import every_step

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme() -> Tenant:
    return Tenant.open("acme", by="test")


@contextmanager
def as_application() -> Iterator[None]:
    yield  # `protected` is on that role


ROLES = {"a request": as_requests, "the application": as_application}


def is_refused(statement: str) -> bool:
    """Returns whether the database does not let the present role do it."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError:
        return True
    return False


# What an upgrade goes by --------------------------------------------------------------------------
FORGERIES = [
    "insert into django_migrations (app, name, applied) values ('inference', '9999_x', now())",
    "delete from django_migrations where app = 'inference'",
    "update tenants_schemarelease set version = '99.0.0', oldest_beside = '99.0.0'",
    "delete from tenants_schemarelease",
    "insert into tenants_schemarelease (id, version, oldest_beside) values (2, '9.0.0', '9.0.0')",
    "create table inference_next (id int)",
    "create view inference_next as select 1 one",
    "create type inference_next as enum ('a')",
    "create function lower(tenants_team) returns text return 'x'",
    "create or replace function tenants_scope_is_proven() returns boolean return true",
    "create schema inference",
    "alter table tenants_team add column next int",
    "alter table tenants_team disable row level security",
    "create policy forebay_next on tenants_team using (true)",
    "create trigger next after insert on tenants_team execute function audit_refuse_truncate()",
    "drop table tenants_schemarelease",
    "set role forebay_owner",
]


@pytest.mark.parametrize("role", ROLES)
def test_nobody_forges_what_an_upgrade_goes_by(acme: Tenant, role: str) -> None:
    """Or is there before it, with a table or function that it would take for its own."""
    with protected(), ROLES[role]():
        assert [attack for attack in FORGERIES if not is_refused(attack)] == []
        assert schema_release.mismatch() == ""


@contextmanager
def a_request() -> Iterator[psycopg.Connection]:
    """A connection of its own, as the web process has it for requests."""
    secret = Path(os.environ["FOREBAY_HOME"]) / "secrets" / "requests.password"
    if not secret.exists():
        pytest.skip("needs the embedded PostgreSQL's role for requests")
    name = connection.settings_dict["NAME"]
    changes = {"dbname": name, "user": REQUESTS_ROLE, "password": secret.read_text().strip()}
    with psycopg.connect(make_conninfo(settings.DATABASE_URL, **changes)) as own:
        yield own


def test_no_request_keeps_an_upgrade_waiting(acme: Tenant) -> None:
    """Any role may take the lock by which two upgrades exclude each other."""
    with a_request() as request:
        request.execute("select pg_advisory_lock(%s)", [schema_release._LOCK])
        with protected(), administrator():
            assert schema_release.lock(waits=False)
            schema_release.unlock()
        with pytest.raises(psycopg.OperationalError):
            request.execute("select 1")


# An upgrade that was interrupted ----------------------------------------------------------------
def newer_models() -> list[type[Model]]:
    """Returns those whose tables are not of the last release."""
    before = every_step().project_state(list(released.LEAVES.items())).models
    ours = [model for app in released.LEAVES for model in apps.get_app_config(app).get_models()]
    return [each for each in ours if (each._meta.app_label, each._meta.model_name) not in before]


def make_anew(models: list[type[Model]]) -> None:
    """Makes tables as migrations do, and does nothing that comes after them."""
    with connection.schema_editor() as editor:
        for model in models:
            editor.execute(f'drop table "{model._meta.db_table}" cascade')
        for model in models:
            editor.create_model(model)


def test_half_an_upgrade_opens_no_new_table_and_a_whole_one_guards_it(acme: Tenant) -> None:
    """It is killed between its migrations and what sets rights and policies."""
    models = newer_models()
    tables = [model._meta.db_table for model in models]
    assert "inference_checkpoint" in tables
    with protected():
        with administrator():
            make_anew(models)
        for role in ROLES.values():
            with role():
                for table in tables:
                    assert is_refused(f'select from "{table}"')
                    assert is_refused(f'insert into "{table}" default values')
                    assert is_refused(f'drop table "{table}"')
        assert any("checkpoint" in problem for problem in row_security.check())
        with administrator():
            row_security.enforce()
            sql_installation.hand_over("forebay", REQUESTS_ROLE)
        assert row_security.check() == []
