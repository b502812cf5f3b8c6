"""One tenant's large rows do not hold up another's, and no tenant fills the line."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.trail import group_commit
from audit.trail.commit_queue import CommitQueue, WaitingRow
from audit.trail.group_commit import LARGE, GroupCommit, StoreUnavailable

ACME, GLOBEX, INITECH = ("a1" + "0" * 30, "b2" + "0" * 30, "c3" + "0" * 30)
# Large rows take a moment, as on a disk.
INSERT = """
    with asked as (select %s::jsonb as rows),
    j as (select x.* from asked, jsonb_to_recordset(asked.rows) as x(
        id uuid, tenant_id uuid, request text)),
    slow as materialized (
        select pg_sleep(0.1 * (select count(*) from j where length(request) > {large})))
    insert into {table} (id, tenant_id, size)
    select id, tenant_id, length(request) from j, slow on conflict (id) do nothing"""


@pytest.fixture
def table(look: psycopg.Connection) -> Iterator[str]:
    name = f"rows_{uuid4().hex}"
    look.execute(
        f"create table {name} (n bigserial, id uuid primary key, tenant_id uuid, size int,"
        " commit bigint default txid_current())"
    )
    yield name
    look.execute(f"drop table {name}")


@pytest.fixture
async def store(dsn: str, table: str) -> AsyncIterator[GroupCommit]:
    statement = INSERT.format(table=table, large=LARGE)
    store = GroupCommit(dsn, statement, patience_s=20)
    yield store
    await store.close()


def row(tenant: str, size: int) -> dict[str, object]:
    return {"id": str(uuid4()), "tenant_id": tenant, "request": "x" * size}


async def finished(store: GroupCommit, rows: list[dict[str, object]]) -> list[tuple[str, int]]:
    """Tenants and sizes in the order in which their rows became durable."""
    order: list[tuple[str, int]] = []

    async def write(mine: dict[str, object]) -> None:
        await store.write(mine)
        order.append((str(mine["tenant_id"]), len(str(mine["request"]))))

    await asyncio.gather(*map(write, rows))
    return order


async def test_a_small_row_is_not_behind_another_tenants_large_ones(store: GroupCommit) -> None:
    images = [row(ACME, 4_000_000) for _ in range(5)]
    order = await finished(store, [*images, row(GLOBEX, 500)])
    assert order.index((GLOBEX, 500)) <= 1


async def test_a_large_row_is_behind_one_of_another_tenant_at_most(store: GroupCommit) -> None:
    images = [row(ACME, 3_000_000) for _ in range(5)]
    order = await finished(store, [*images, row(GLOBEX, 3_000_001)])
    assert order.index((GLOBEX, 3_000_001)) <= 1


async def test_a_tenants_own_rows_stay_in_order_behind_its_large_one(store: GroupCommit) -> None:
    order = await finished(store, [row(ACME, 3_000_000), *[row(ACME, n) for n in range(5)]])
    assert order == [(ACME, 3_000_000), *[(ACME, n) for n in range(5)]]


async def test_among_middling_rows_another_tenant_comes_with_the_first_group(
    store: GroupCommit, look: psycopg.Connection, table: str
) -> None:
    flood = [row(ACME, 100_000) for _ in range(200)]
    await finished(store, [*flood, row(GLOBEX, 500)])
    found = look.execute(f"select commit from {table} where tenant_id = %s", [GLOBEX]).fetchone()
    first = look.execute(f"select min(commit), count(distinct commit) from {table}").fetchone()
    assert found
    assert first
    assert found[0] == first[0]
    assert first[1] >= 10  # a group is bounded in bytes


async def test_a_tenant_has_a_bound_in_bytes_and_the_others_have_theirs(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = INSERT.format(table=table, large=LARGE)
    nowhere = GroupCommit(
        "host=127.0.0.1 port=1", statement, patience_s=0.5, tenant_bytes=5_000_000
    )
    monkeypatch.setattr(group_commit, "QUEUE_BYTES", 7_000_000)
    asked = [ACME, ACME, ACME, GLOBEX, INITECH]
    writes = [nowhere.write(row(tenant, 2_000_000)) for tenant in asked]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert ["of this tenant" in str(result) for result in results] == [False, False, True] + [
        False
    ] * 2
    assert ["too many" in str(result) for result in results] == [False, False, True, False, True]
    await nowhere.close()


async def refused(store: GroupCommit, rows: list[dict[str, object]]) -> list[str]:
    """By tenant, how the queue refuses them: "full", "share", or "" where it takes them."""
    results = await asyncio.gather(*map(store.write, rows), return_exceptions=True)
    texts = [str(result) for result in results]
    return [("share" if "of this" in t else "full") if "too many" in t else "" for t in texts]


@pytest.fixture
async def nowhere(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GroupCommit]:
    """Its database is away, so that rows wait."""

    async def away(self: GroupCommit, rows: object) -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(GroupCommit, "_execute", away)
    monkeypatch.setattr(group_commit, "QUEUE_BYTES", 8_000_000)
    store = GroupCommit("", INSERT, patience_s=0.2)
    yield store
    await store.close()


@pytest.mark.unit
async def test_one_tenant_takes_half_of_the_bytes_at_most(nowhere: GroupCommit) -> None:
    flood = [row(ACME, 1_000_000) for _ in range(20)]
    found = await refused(nowhere, [*flood, row(GLOBEX, 1_000_000)])
    assert found == [""] * 3 + ["share"] * 17 + [""]


@pytest.mark.unit
async def test_large_rows_of_many_tenants_leave_room_for_small_ones(nowhere: GroupCommit) -> None:
    large = [row(f"{n:02x}" + "0" * 30, 1_000_000) for n in range(20)]
    found = await refused(nowhere, [*large, row(GLOBEX, 15_000), row(INITECH, 17_000)])
    assert found == [""] * 6 + ["full"] * 14 + ["", ""]
    filled = [*large, *[row(GLOBEX, 17_000)] * 60, row(INITECH, 15_000)]
    assert (await refused(nowhere, filled))[-2:] == ["full", ""]


@pytest.mark.unit
async def test_one_tenant_takes_half_of_the_rows_at_most(
    monkeypatch: pytest.MonkeyPatch, nowhere: GroupCommit
) -> None:
    monkeypatch.setattr(group_commit, "QUEUE", 10)
    found = await refused(nowhere, [*[row(ACME, 10) for _ in range(12)], row(GLOBEX, 10)])
    assert found == [""] * 5 + ["share"] * 7 + [""]


def entry(tenant: str, size: int) -> WaitingRow:
    # nobody waits for it: it has no future
    return WaitingRow({}, None, 0, tenant, size)  # type: ignore[arg-type]


def test_rows_of_a_group_that_failed_stand_where_they_stood() -> None:
    line = CommitQueue()
    rows = [entry("a", 10), entry("a", 10), entry("b", 10), entry("a", 10)]
    for one in rows:
        line.add(one)
    before = line.take(3, 1000)
    line.add(entry("c", 10))
    for one in reversed(before):
        line.add(one)
    assert line.take(3, 1000) == before == [rows[0], rows[2], rows[1]]
    assert [one.tenant for one in line.take(9, 1000)] == ["c", "a"]


tenants = st.sampled_from(["a", "b", "c"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), tenants, st.integers(1, 5_000)),
        st.tuples(st.just("take"), tenants, st.integers(1, 9_000)),
    ),
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_who_waits_gets_as_many_bytes_as_the_others(steps: list[tuple[str, str, int]]) -> None:
    """While two wait, neither gets more than the other by more than a row of each."""
    line, sizes, waiting = (
        CommitQueue(),
        defaultdict[str, list[int]](list),
        defaultdict[str, int](int),
    )
    served = defaultdict[str, int](int)
    for what, tenant, n in steps:
        if what == "add":
            if not waiting[tenant]:  # from here on it is compared
                served = defaultdict(int)
            waiting[tenant] += n
            sizes[tenant].append(n)
            line.add(entry(tenant, n))
        else:
            taken = line.take(500, n)
            for one in taken:
                waiting[one.tenant] -= one.size
                served[one.tenant] += one.size
                _fair(served, waiting, sizes, one.tenant)
            assert sum(one.size for one in taken) <= n or len(taken) == 1
        assert line.total == sum(waiting.values()) == sum(line.bytes.values())
        assert line.rows.keys() == line.bytes.keys()
        assert sum(line.rows.values()) == len(line)
        assert dict(line.bytes) == {name: n for name, n in waiting.items() if n}


def _fair(
    served: dict[str, int], waiting: dict[str, int], sizes: dict[str, list[int]], got: str
) -> None:
    for other, left in waiting.items():
        if other != got and left:
            assert served[got] - served[other] <= max(sizes[got]) + max(sizes[other])
