"""A database that goes away: rows wait as long as they may, and none is written twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from audit.trail.group_commit import GroupCommit, StoreUnavailable
from tests.audit.weak_line import WeakLine, through, weak_line_to_database


@pytest.fixture
def table(look: psycopg.Connection) -> Iterator[str]:
    name = f"rows_{uuid4().hex}"
    look.execute(f"create table {name} (id uuid primary key, written int not null default 1)")
    yield name
    look.execute(f"drop table {name}")


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


def statement(table: str) -> str:
    return (
        f"insert into {table} (id) select id from jsonb_to_recordset(%s::jsonb) as x(id uuid)"
        " on conflict (id) do nothing"
    )


def row() -> dict[str, str]:
    return {"id": str(uuid4())}


def written(look: psycopg.Connection, table: str) -> int:
    found = look.execute(f"select count(*) from {table}").fetchone()
    assert found
    return int(found[0])


async def test_a_killed_backend_costs_no_row(
    dsn: str, look: psycopg.Connection, table: str
) -> None:
    name = f"store-{uuid4().hex[:12]}"
    store = GroupCommit(make_conninfo(dsn, application_name=name), statement(table), patience_s=10)

    async def writer() -> None:
        for _ in range(40):
            await store.write(row())
            await asyncio.sleep(0.01)

    writers = asyncio.gather(*[writer() for _ in range(10)])
    killed = 0
    while not writers.done():
        await asyncio.sleep(0.1)
        killed += look.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s",
            [name],
        ).rowcount
    await writers
    await store.close()
    assert killed >= 2
    assert written(look, table) == 400


async def test_a_commit_whose_answer_was_lost_is_not_written_twice(
    dsn: str, look: psycopg.Connection, table: str, line: WeakLine
) -> None:
    store = GroupCommit(through(line, dsn), statement(table), patience_s=5)
    await store.write(row())
    line.deaf = True  # the statement gets there, its answer does not come back
    late = asyncio.ensure_future(store.write(row()))
    while written(look, table) < 2:
        await asyncio.sleep(0.01)
    line.deaf = False
    await asyncio.wait_for(late, 30)
    await store.close()
    assert written(look, table) == 2


async def test_rows_wait_for_a_database_that_comes_back_in_time(
    dsn: str, look: psycopg.Connection, table: str, line: WeakLine
) -> None:
    store = GroupCommit(through(line, dsn), statement(table), patience_s=5)
    await store.write(row())
    await line.down()
    waiting = asyncio.gather(*[store.write(row()) for _ in range(30)])
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await line.up()
    await asyncio.wait_for(waiting, 30)
    await store.close()
    assert written(look, table) == 31


async def test_patience_ends_and_the_store_works_again_afterwards(
    dsn: str, look: psycopg.Connection, table: str, line: WeakLine
) -> None:
    store = GroupCommit(through(line, dsn), statement(table), patience_s=0.4)
    await store.write(row())
    await line.down()
    began = time.monotonic()
    results = await asyncio.gather(*[store.write(row()) for _ in range(20)], return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert 0.4 <= time.monotonic() - began < 1.5
    await line.up()
    await asyncio.wait_for(store.write(row()), 30)
    await store.close()
    assert written(look, table) == 2


async def test_patience_is_the_same_for_a_long_line(table: str) -> None:
    async with WeakLine("127.0.0.1", 1) as line:  # accepts, and hangs up at once
        store = GroupCommit(
            through(line, "dbname=forebay user=postgres"), statement(table), patience_s=0.3
        )
        began = time.monotonic()
        writes = [store.write(row()) for _ in range(3000)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        took = time.monotonic() - began
        await store.close()
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert took < 2.5


async def test_a_database_that_froze_is_as_good_as_away(
    dsn: str, look: psycopg.Connection, table: str, line: WeakLine
) -> None:
    store = GroupCommit(through(line, dsn), statement(table), patience_s=0.3)
    await store.write(row())
    line.freeze()
    with pytest.raises(StoreUnavailable) as told:
        await asyncio.wait_for(store.write(row()), 30)
    assert told.value.late  # it may be written yet, and then that is known
    line.thaw()
    await asyncio.wait_for(told.value.late, 30)
    await store.close()
    assert written(look, table) == 2


async def test_where_a_row_is_a_bill_a_slow_no_is_waited_for(
    dsn: str, look: psycopg.Connection, table: str, line: WeakLine
) -> None:
    """What PostgreSQL may have taken is waited for, what it cannot have is refused in time."""
    store = GroupCommit(through(line, dsn), statement(table), patience_s=0.2, doubt_s=20)
    await store.write(row())
    line.freeze()
    sent = asyncio.ensure_future(store.write(row()))
    await asyncio.sleep(0.05)
    with pytest.raises(StoreUnavailable) as told:
        await asyncio.wait_for(store.write(row()), 30)  # it stands behind
    assert told.value.late is None
    assert not sent.done()
    line.thaw()
    await asyncio.wait_for(sent, 30)
    await asyncio.wait_for(store.write(row()), 30)
    await store.close()
    assert written(look, table) == 3


async def test_a_lost_yes_is_asked_for_again_past_the_patience(
    dsn: str, look: psycopg.Connection, table: str, line: WeakLine
) -> None:
    store = GroupCommit(through(line, dsn), statement(table), patience_s=0.2, doubt_s=20)
    await store.write(row())
    line.deaf = True
    sent = asyncio.ensure_future(store.write(row()))
    while written(look, table) < 2:
        await asyncio.sleep(0.01)
    await line.down()
    line.deaf = False
    with pytest.raises(StoreUnavailable) as told:
        await asyncio.wait_for(store.write(row()), 30)  # it never got there
    assert told.value.late is None
    assert not sent.done()
    await line.up()
    await asyncio.wait_for(sent, 30)
    await store.close()
    assert written(look, table) == 2
