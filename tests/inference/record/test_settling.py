"""Who settles a request, where several may have tried: only theirs is an answer to give out."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.utils import timezone

from audit.trail.commit_queue import Row
from audit.trail.group_commit import GroupCommit
from inference.models import Completion, Usage
from inference.order import Order
from inference.record import request_rows, sql_statements
from inference.record.outcome import Outcome
from inference.record.settle import settle
from tenants.models import Tenant
from tests.audit.weak_line import WeakLine, through, weak_line_to_database
from tests.inference.orders import an_order
from tests.inference.running import until

in_database = database_sync_to_async


def received(acme: Tenant) -> Order:
    order = an_order(tenant_id=acme.id)
    Completion.objects.create(
        id=order.id, tenant=acme, model="mock", route=order.route, created_at=timezone.now()
    )
    return order


@pytest.fixture
def order(acme: Tenant) -> Order:
    return received(acme)


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


@pytest.fixture
async def commits(dsn: str, line: WeakLine) -> AsyncIterator[GroupCommit]:
    commits = GroupCommit(through(line, dsn), sql_statements.SETTLED, patience_s=20)
    yield commits
    await commits.close()


def an_end(order: Order, **outcome: Any) -> Row:
    return request_rows.settled_row(order, Outcome(**outcome), None, time.time())


async def test_who_comes_second_is_told(commits: GroupCommit, order: Order) -> None:
    first, second = an_end(order), an_end(order, state="failed", status=502)
    assert await settle(commits, first)
    assert not await settle(commits, second)
    assert await settle(commits, first)  # sent again


async def test_of_two_in_one_group_one_is_told_that_it_is_on_record(
    commits: GroupCommit, line: WeakLine, order: Order
) -> None:
    await line.down()
    rows = [an_end(order, attempts=n) for n in (1, 2)]
    both = asyncio.gather(*(settle(commits, row) for row in rows))
    await asyncio.sleep(0.3)
    await line.up()
    assert await asyncio.wait_for(both, 30) == [True, False]
    assert await in_database(_attempts)(order) == 1


async def test_whose_answer_was_lost_on_its_way_is_told(
    commits: GroupCommit, line: WeakLine, order: Order, acme: Tenant
) -> None:
    assert await settle(commits, an_end(await in_database(received)(acme)))
    line.deaf = True  # the statement gets there, its answer does not come back
    settled = asyncio.ensure_future(settle(commits, an_end(order)))
    await until(lambda: in_database(_attempts)(order))
    line.deaf = False
    assert await asyncio.wait_for(settled, 30)


def _attempts(order: Order) -> int:
    found = Usage.objects.filter(pk=order.id).values_list("attempts", flat=True)
    return found.first() or 0
