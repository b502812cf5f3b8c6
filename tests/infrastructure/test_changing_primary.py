"""Connections go to the server that takes writes, and wait while there is none."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.db.backends.postgresql import base
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench.servers.child import Child, wait_until_listening
from config.supervisor.embedded.postgres_programs import SystemUser, binaries
from config.supervisor.ports import find_free
from infrastructure.postgres.resilient_connection import ResilientConnection
from tests.audit.sealed import superuser

pytestmark = pytest.mark.django_db(transaction=True)


# A standby ---------------------------------------------------------------------------------------
@pytest.fixture
def standby(tmp_path: Path) -> Iterator[int]:
    """Yields the port of a standby of the test's PostgreSQL."""
    tmp_path.chmod(0o755)
    user, data, port = SystemUser(), tmp_path / "standby", find_free()
    data.mkdir(mode=0o700)
    user.own(data)
    with superuser() as primary:
        info = primary.info
        where = {"host": info.host, "port": str(info.port), "user": "postgres"}
        environment = {**os.environ, "PGPASSWORD": info.password, "LC_ALL": "C"}
    environment.pop("PGTARGETSESSIONATTRS", None)
    programs, prefix = binaries(user), user.prefix(data)
    words = [word for name, value in where.items() for word in (f"--{_OPTIONS[name]}", value)]
    command = [str(programs / "pg_basebackup"), "-D", str(data), "-R", "-c", "fast", *words]
    subprocess.run([*prefix, *command], env=environment, check=True, capture_output=True)
    options = f"-c port={port} -c hot_standby=on -c unix_socket_directories= -c fsync=off"
    program = [str(programs / "postgres"), "-D", str(data), *options.split()]
    child = Child([*prefix, *program], tmp_path / "standby.log", environment)
    try:
        wait_until_listening(port, 60)
        yield port
    finally:
        child.process.kill()
        child.process.wait(20)
        shutil.rmtree(data, ignore_errors=True)


_OPTIONS = {"host": "host", "port": "port", "user": "username"}


def both(standby: int) -> str:
    """Returns a DSN whose first host is the standby."""
    ours = conninfo_to_dict(_dsn())
    hosts = f"127.0.0.1,{ours['host']}"
    return make_conninfo(_dsn(), host=hosts, port=f"{standby},{ours['port']}")


def _dsn() -> str:
    return make_conninfo(settings.DATABASE_URL, dbname=connection.settings_dict["NAME"])


@pytest.mark.slow(seconds=20)
async def test_a_connection_to_several_servers_is_one_to_the_primary(standby: int) -> None:
    until = time.monotonic() + 60
    while True:  # it refuses connections until it has caught up
        try:
            psycopg.connect(make_conninfo(both(standby), target_session_attrs="standby")).close()
            break
        except psycopg.OperationalError:
            assert time.monotonic() < until
            time.sleep(0.2)
    link = ResilientConnection(both(standby))
    cursor = await (await link.get()).execute("select pg_is_in_recovery()")
    assert await cursor.fetchone() == (False,)
    await link.close()
    with pytest.raises(psycopg.OperationalError, match="hot standby|not in recovery|primary"):
        psycopg.connect(make_conninfo(_dsn(), host="127.0.0.1", port=standby))


# Waiting -----------------------------------------------------------------------------------------
def refused(monkeypatch: pytest.MonkeyPatch, times: int) -> list[float]:
    """Has the next connections refused; returns when each was tried."""
    tried: list[float] = []
    real = base.DatabaseWrapper.get_new_connection

    def connect(self: Any, parameters: dict[str, Any]) -> Any:
        tried.append(time.monotonic())
        if len(tried) <= times:
            raise psycopg.OperationalError("the database system is shutting down")
        return real(self, parameters)

    monkeypatch.setattr(base.DatabaseWrapper, "get_new_connection", connect)
    connection.close()
    return tried


def test_a_page_waits_until_another_server_is_primary(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.FAILOVER_WAIT_S = 20
    tried = refused(monkeypatch, 3)
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    assert len(tried) == 4


def test_a_page_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.FAILOVER_WAIT_S = 0
    tried = refused(monkeypatch, 1)
    with pytest.raises(Exception, match="shutting down"), connection.cursor():
        pass
    assert len(tried) == 1
