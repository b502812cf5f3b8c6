"""Rows are durable when `write` returns, many to a commit, and a bad one falls alone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import psycopg
import pytest

from audit.trail import group_commit
from audit.trail.group_commit import GroupCommit, StoreUnavailable

INSERT = """
    insert into {table} (id, n) select id, n from
    jsonb_to_recordset(%s::jsonb) as x(id uuid, n int) on conflict (id) do nothing"""


@pytest.fixture
def table(look: psycopg.Connection) -> Iterator[str]:
    name = f"rows_{uuid4().hex}"
    look.execute(
        f"create table {name} (id uuid primary key, n int not null check (n >= 0),"
        " commit bigint default txid_current())"
    )
    yield name
    look.execute(f"drop table {name}")


@pytest.fixture
async def store(dsn: str, table: str) -> AsyncIterator[GroupCommit]:
    store = GroupCommit(dsn, INSERT.format(table=table), patience_s=5)
    yield store
    await store.close()


def row(n: int) -> dict[str, object]:
    return {"id": str(uuid4()), "n": n}


def count(look: psycopg.Connection, table: str, what: str = "n") -> int:
    found = look.execute(f"select count(distinct {what}) from {table}").fetchone()
    assert found
    return int(found[0])


async def test_a_row_is_durable_when_write_returns(
    store: GroupCommit, look: psycopg.Connection, table: str
) -> None:
    for n in range(5):
        await store.write(row(n))
        assert count(look, table) == n + 1


async def test_rows_that_come_together_share_commits(
    store: GroupCommit, look: psycopg.Connection, table: str
) -> None:
    await asyncio.gather(*[store.write(row(n)) for n in range(1200)])
    assert count(look, table) == 1200
    assert count(look, table, "commit") <= 5  # groups of 500, and the very first may be alone


async def test_a_bad_row_falls_alone(
    store: GroupCommit, look: psycopg.Connection, table: str
) -> None:
    rows = [row(n) for n in range(50)]
    rows[7]["n"], rows[23]["n"] = -1, "many"  # one that the table, one that the cast refuses
    results = await asyncio.gather(*map(store.write, rows), return_exceptions=True)
    assert {i for i, result in enumerate(results) if result is not None} == {7, 23}
    assert isinstance(results[7], psycopg.errors.CheckViolation)
    assert isinstance(results[23], psycopg.DataError)
    assert count(look, table) == 48
    await store.write(row(1000))


async def test_the_same_row_twice_is_one_row(
    store: GroupCommit, look: psycopg.Connection, table: str
) -> None:
    same = row(1)
    await store.write(same)
    await asyncio.gather(store.write(same), store.write(row(2)))
    assert count(look, table, "id") == 2


async def test_a_writer_that_gave_up_does_not_disturb_the_others(
    store: GroupCommit, look: psycopg.Connection, table: str
) -> None:
    writes = [asyncio.ensure_future(store.write(row(n))) for n in range(20)]
    await asyncio.sleep(0)
    writes[3].cancel()
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results].count(asyncio.CancelledError) == 1
    assert count(look, table) >= 19


async def test_more_rows_than_may_wait_are_refused_at_once(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "QUEUE", 10)
    nowhere = GroupCommit("host=127.0.0.1 port=1", INSERT.format(table=table), patience_s=0.5)
    waiting = [asyncio.ensure_future(nowhere.write(row(n))) for n in range(10)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable, match="too many"):
        await asyncio.wait_for(nowhere.write(row(99)), 0.1)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    await nowhere.close()


async def test_who_waits_while_it_closes_is_told(table: str) -> None:
    nowhere = GroupCommit("host=127.0.0.1 port=1", INSERT.format(table=table), patience_s=0.2)
    waiting = asyncio.ensure_future(nowhere.write(row(1)))
    await asyncio.sleep(0.05)
    await nowhere.close()
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(waiting, 30)


STRIPES = """
    with asked as (select %s::jsonb as rows),
    held as materialized (
        select pg_advisory_xact_lock_shared(stripe) from (
            select distinct n as stripe from asked, jsonb_to_recordset(asked.rows) as x(n int)
            order by 1) s)
    insert into {table} (id, n) select id, n
    from asked, jsonb_to_recordset(asked.rows) as x(id uuid, n int), (select count(*) from held) h
    on conflict (id) do nothing"""


async def test_rows_whose_lock_is_held_hold_up_nobody_else(
    dsn: str, look: psycopg.Connection, table: str
) -> None:
    store = GroupCommit(dsn, STRIPES.format(table=table), patience_s=5)

    def of(tenant: int) -> dict[str, object]:
        return {**row(tenant), "tenant_id": f"{tenant:02x}" + "0" * 30}

    look.execute("select pg_advisory_lock(7)")
    stuck = [asyncio.create_task(store.write(of(7))) for _ in range(3)]
    await asyncio.wait_for(asyncio.gather(*[store.write(of(8)) for _ in range(9)]), 3)
    stuck.append(asyncio.create_task(store.write(of(7))))
    began = asyncio.get_running_loop().time()
    for _ in range(5):
        await store.write(of(9))
    assert asyncio.get_running_loop().time() - began < 1
    assert not any(task.done() for task in stuck)
    look.execute("select pg_advisory_unlock(7)")
    await asyncio.wait_for(asyncio.gather(*stuck), 3)
    assert count(look, table, "id") == 18
    assert not store._stuck
    await store.close()


async def test_a_row_whose_lock_is_held_is_refused_in_time_and_never_written(
    dsn: str, look: psycopg.Connection, table: str
) -> None:
    """PostgreSQL has said that it did not take it: there is no doubt to wait for."""
    store = GroupCommit(dsn, STRIPES.format(table=table), patience_s=0.3, doubt_s=60)
    look.execute("select pg_advisory_lock(7)")
    held = {**row(7), "tenant_id": "07" + "0" * 30}
    with pytest.raises(StoreUnavailable) as refused:
        await asyncio.wait_for(store.write(held), 20)
    assert refused.value.late is None
    look.execute("select pg_advisory_unlock(7)")
    await store.write({**row(8), "tenant_id": "08" + "0" * 30})
    await asyncio.sleep(0.5)
    assert count(look, table, "id") == 1
    await store.close()
