"""A transaction whose connection the server ends is done again, but never twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings as configured
from django.db import OperationalError, connection
from psycopg.conninfo import make_conninfo

from infrastructure.postgres.queries import rows, value
from infrastructure.postgres.repeated_transaction import transact
from tenants.models import Tenant
from tenants.scope import system_scope

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def patience(settings: Any) -> None:
    settings.FAILOVER_WAIT_S = 20


def end_connection() -> None:
    """Ends Django's connection as a server does that shuts down."""
    dsn = make_conninfo(configured.DATABASE_URL, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s, 5000)", [value("select pg_backend_pid()")])


class Work:
    """Writes a tenant; the first `failures` times its connection ends before the commit."""

    def __init__(self, failures: int) -> None:
        self._failures, self.tries = failures, 0

    def __call__(self) -> str:
        self.tries += 1
        Tenant.open("acme", by="alice")
        if self.tries <= self._failures:
            end_connection()
            value("select 1")
        return "written"


def test_what_was_cut_off_is_done_again_and_once() -> None:
    work = Work(failures=2)
    assert transact(system_scope, work) == "written"
    assert work.tries == 3
    with system_scope():
        assert Tenant.objects.filter(name="acme").count() == 1


@contextmanager
def cut_off_at_its_commit() -> Iterator[None]:
    with system_scope():
        yield
        end_connection()


def test_a_commit_in_doubt_is_not_repeated() -> None:
    tries = []
    with pytest.raises(OperationalError):
        transact(cut_off_at_its_commit, lambda: tries.append(1))
    assert len(tries) == 1


def test_a_commit_in_doubt_of_what_is_repeatable_is() -> None:
    ends = [cut_off_at_its_commit, cut_off_at_its_commit, system_scope]

    @contextmanager
    def scope() -> Iterator[None]:
        with ends.pop(0)():
            yield

    assert transact(scope, lambda: value("select 7"), repeatable=True) == 7
    assert ends == []


def test_a_part_of_an_open_transaction_is_done_once() -> None:
    work = Work(failures=9)
    with pytest.raises(OperationalError), system_scope():
        transact(system_scope, work, repeatable=True)
    assert work.tries == 1


def test_a_statement_that_the_server_refused_is_not_repeated() -> None:
    tries = []

    def slow() -> None:
        tries.append(1)
        rows("set local statement_timeout = '50ms'")
        rows("select pg_sleep(5)")

    with pytest.raises(OperationalError, match="statement timeout"):
        transact(system_scope, slow)
    assert len(tries) == 1


def test_patience_ends(settings: Any) -> None:
    settings.FAILOVER_WAIT_S = 0
    work = Work(failures=9)
    with pytest.raises(OperationalError):
        transact(system_scope, work)
    assert work.tries == 1
