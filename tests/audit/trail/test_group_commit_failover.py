"""A row counts as written once a standby has it, and another server is asked when one freezes."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.trail import group_commit
from audit.trail.group_commit import GroupCommit
from infrastructure.postgres import resilient_connection
from infrastructure.postgres.resilient_connection import ResilientConnection
from tests.audit.sealed import superuser
from tests.audit.weak_line import WeakLine, through, weak_line_to_database

NAME = "commits-of-a-failover"
_STATEMENT = (
    "insert into {table} (id) select id from jsonb_to_recordset(%s::jsonb) as x(id uuid)"
    " on conflict (id) do nothing"
)


@pytest.fixture
def administrator(dsn: str) -> Iterator[psycopg.Connection]:
    """A superuser, whose own commits wait for no standby."""
    with superuser() as connection:
        connection.autocommit = True
        connection.execute("set synchronous_commit to local")
        yield connection


@pytest.fixture
def table(look: psycopg.Connection) -> Iterator[str]:
    name = f"rows_{uuid4().hex}"
    look.execute(f"create table {name} (id uuid primary key)")
    yield name
    look.execute(f"drop table {name}")


@pytest.fixture
def no_standby(administrator: psycopg.Connection, table: str) -> Iterator[None]:
    """Commits wait for a standby that never comes, until the test ends."""
    wait_for_standbys(administrator, "nobody")
    yield
    wait_for_standbys(administrator, "")


def wait_for_standbys(administrator: psycopg.Connection, names: str) -> None:
    administrator.execute(f"alter system set synchronous_standby_names = '{names}'")
    administrator.execute("select pg_reload_conf()")
    while administrator.execute("show synchronous_standby_names").fetchone() != (names,):
        pass


def row() -> dict[str, str]:
    return {"id": str(uuid4())}


async def backend_that_waits(administrator: psycopg.Connection) -> int:
    """Returns the process that waits for the standby with the commit of a row."""
    query = (
        "select pid from pg_stat_activity where application_name = %s and wait_event = 'SyncRep'"
    )
    for _ in range(200):
        if row := administrator.execute(query, [NAME]).fetchone():
            return int(row[0])
        await asyncio.sleep(0.02)
    raise AssertionError("no commit waits")


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_row_that_is_on_no_standby_does_not_count_as_written(
    how: str, dsn: str, table: str, administrator: psycopg.Connection, no_standby: None
) -> None:
    """PostgreSQL keeps such a row, and would report it as written when it is tried again."""
    named = make_conninfo(dsn, application_name=NAME)
    store = GroupCommit(named, _STATEMENT.format(table=table), patience_s=30)
    writing = asyncio.ensure_future(store.write(row()))
    first = await backend_that_waits(administrator)
    administrator.execute(f"select {how}(%s)", [first])
    for _ in range(200):  # until the second try waits as the first did
        if writing.done() or await backend_that_waits(administrator) != first:
            break
        await asyncio.sleep(0.02)
    assert administrator.execute(f"select count(*) from {table}").fetchone() == (1,)
    assert not writing.done()
    wait_for_standbys(administrator, "")
    await asyncio.wait_for(writing, 30)
    await store.close()


async def test_tries_without_a_standby_do_not_take_all_connections(
    dsn: str,
    table: str,
    administrator: psycopg.Connection,
    no_standby: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL does not notice that nobody waits for such a commit any more."""
    monkeypatch.setattr(group_commit, "FROZEN_S", 0.25)
    named = make_conninfo(dsn, application_name=NAME)
    store = GroupCommit(named, _STATEMENT.format(table=table), patience_s=0.1)
    began = asyncio.get_running_loop().time()
    while waiting_backends(administrator) < 5:
        with contextlib.suppress(group_commit.StoreUnavailable):
            await store.write(row())
    assert asyncio.get_running_loop().time() - began > 0.25 * (1 + 2 + 4 + 8)
    wait_for_standbys(administrator, "")
    await asyncio.wait_for(eventually_written(store), 60)
    await store.close()


def waiting_backends(administrator: psycopg.Connection) -> int:
    query = (
        "select count(*) from pg_stat_activity"
        " where application_name = %s and wait_event = 'SyncRep'"
    )
    (count,) = administrator.execute(query, [NAME]).fetchone() or (0,)
    return int(count)


async def test_rows_go_to_another_server_when_one_freezes(
    dsn: str, look: psycopg.Connection, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "FROZEN_S", 0.5)
    async with weak_line_to_database(dsn) as line:
        both = first_through(line, dsn)
        store = GroupCommit(both, _STATEMENT.format(table=table), patience_s=0.2, doubt_s=0.2)
        await store.write(row())
        line.freeze()
        with pytest.raises(group_commit.StoreUnavailable):
            await asyncio.wait_for(store.write(row()), 30)
        await asyncio.wait_for(eventually_written(store), 60)
        await store.close()
        line.thaw()
    count = look.execute(f"select count(*) from {table}").fetchone()
    assert count
    assert count[0] >= 2


async def eventually_written(store: GroupCommit) -> None:
    while True:
        try:
            await store.write(row())
        except group_commit.StoreUnavailable:
            await asyncio.sleep(0.1)
        else:
            return


def first_through(line: WeakLine, dsn: str) -> str:
    """Returns a DSN of two hosts: the one behind the line, and the same server without it."""
    direct = conninfo_to_dict(dsn)
    hosts = f"127.0.0.1,{direct.get('host') or '127.0.0.1'}"
    return make_conninfo(through(line, dsn), host=hosts, port=f"{line.port},{direct['port']}")


async def test_a_question_waits_until_there_is_a_primary(dsn: str, settings: Any) -> None:
    settings.FAILOVER_WAIT_S = 20
    async with weak_line_to_database(dsn) as line:
        connection = ResilientConnection(through(line, dsn))
        await line.down()
        asking = asyncio.ensure_future(connection.ask(_one))
        await asyncio.sleep(0.5)
        assert not asking.done()
        await line.up()
        assert await asyncio.wait_for(asking, 30) == (1,)
        await connection.close()


async def test_a_question_that_nobody_answers_goes_to_another_server(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resilient_connection, "ANSWER_S", 0.5)
    async with weak_line_to_database(dsn) as line:
        connection = ResilientConnection(first_through(line, dsn))
        assert await connection.ask(_one) == (1,)
        assert line.accepted == 1
        line.freeze()
        assert await asyncio.wait_for(connection.ask(_one), 30) == (1,)
        await connection.close()
        line.thaw()


async def test_a_server_that_freezes_while_a_connection_begins_is_given_up(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resilient_connection, "ANSWER_S", 0.3)
    connection = ResilientConnection(dsn, first=("select pg_sleep(60)",))
    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(connection.get(), 30)
    await connection.close()


async def _one(connection: resilient_connection.Connection) -> object:
    return await (await connection.execute("select 1")).fetchone()
