"""A request without room in its quotas goes nowhere, and leaves nothing anywhere."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from audit.models import Event, Payload
from inference import engines
from inference.intake import enqueue
from inference.intake import submit as submitting
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted, OutOfService
from inference.intake.submission import Submission
from inference.models import Completion, Usage
from inference.queue.fair_queue import FairQueue
from infrastructure.redis.link import RedisLink
from tenants.caller import Caller, Limits, LocalOnlyBy, QuotaRef
from tenants.models import ApiKey, LedgerEntry, Price, Quota, Tenant
from tenants.quotas import ledger_answer
from tenants.rate_limits.admission import concurrency_key
from tests.audit.weak_line import WeakLine, through, weak_line_to_database

in_database = database_sync_to_async


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


@pytest.fixture
async def context(
    settings: Settings,
    dsn: str,
    pool: str,
    database: WeakLine,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Context]:
    engine = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "context_length": 1000}
    settings.ENGINES = {pool: {**engine, "template_tokens": 64}}
    settings.DATABASE_URL = through(database, dsn)
    settings.ADDRESS_PER_MINUTE = 0
    monkeypatch.setattr(enqueue, "wake_up", lambda _: None)
    engines.forget()
    context = Context()
    yield context
    await context.close()
    engines.forget()


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "ci", by="test")[0]


@pytest.fixture
def caller(key: ApiKey) -> Caller:
    return Caller(
        tenant_id=key.tenant_id,
        tenant="acme",
        actor=key.actor,
        subject_id=key.subject_id,
        weight=1,
        limits=Limits(requests_per_minute=1, burst=1000),
        credential=bytes(key.digest),
        scopes=frozenset({"inference"}),
        api_key_id=key.id,
    )


def counted_by(caller: Caller, *quotas: Quota) -> Caller:
    """As the authenticator gives it once it has looked again."""
    refs = [QuotaRef(each.id, each.unit, each.window, each.model) for each in quotas]
    return replace(caller, quotas=tuple(refs))


async def submit(context: Context, caller: Caller, **changes: Any) -> AnswerStream:
    asked: dict[str, Any] = {
        "caller": caller,
        "engine": next(iter(engines.served().values())),
        "body": b'{"messages":[]}',
        "route": "/v1/chat/completions",
        "chat": True,
        "stream": True,
        "estimate": 100,
        "max_tokens": 10,
    }
    return await submitting.submit(context, Submission(**{**asked, **changes}))


async def refusal(context: Context, caller: Caller, **changes: Any) -> NotAdmitted:
    with pytest.raises(NotAdmitted) as refused:
        await submit(context, caller, **changes)
    return refused.value


def quota(acme: Tenant, limit: int, unit: str = "requests", **more: Any) -> Any:
    asked = {"unit": unit, "window": "day", "limit": limit, "by": "test", **more}
    return in_database(lambda: Quota.set(acme, **asked))()


def traces() -> tuple[int, ...]:
    return (
        Completion.objects.count(),
        Event.objects.filter(action__startswith="completion:").count(),
        Payload.objects.count(),
        LedgerEntry.objects.count(),
        Usage.objects.count(),
    )


async def test_a_refusal_leaves_nothing_and_gives_the_other_limits_back(
    context: Context, caller: Caller, acme: Tenant, queue: FairQueue, link: RedisLink
) -> None:
    ours = await quota(acme, 1)
    answer = await submit(context, caller)
    order, admission = answer.order, answer.admission
    assert answer.verdict.tightest["requests"].remaining == 0
    refused = await refusal(context, caller)
    assert (refused.admission.tier, refused.admission.counter) == ("quota", ours.id)
    assert (refused.admission.limit, refused.admission.used) == (1, 1)
    assert "the quota of 1 requests per day has no room for 1" in refused.message
    assert refused.refusal_id.startswith("ref_")
    assert await in_database(traces)() == (1, 1, 1, 1, 0)
    assert [item.id for item, _ in await queue.pop(9, "runner")] == [str(order.id)]
    assert len(context.frame_reader.buffers) == 1
    async with asyncio.timeout(3):
        while await link.call("ZCARD", concurrency_key(str(acme.id))) != 1:
            await asyncio.sleep(0.02)
    await in_database(lambda: ours.change(2, by="test"))()
    await asyncio.sleep(ledger_answer.TTL_S)
    again = await submit(context, caller)
    assert again.admission.requests
    assert admission.requests
    assert again.admission.requests.remaining == admission.requests.remaining - 1, (
        "no refusal costs"
    )


async def test_200_at_once_on_a_budget_for_10(
    context: Context, caller: Caller, acme: Tenant
) -> None:
    await quota(acme, 10)
    results = await asyncio.gather(
        *[submit(context, caller) for _ in range(200)], return_exceptions=True
    )
    assert sum(isinstance(result, AnswerStream) for result in results) == 10
    assert sum(isinstance(result, NotAdmitted) for result in results) == 190
    assert await in_database(traces)() == (10, 10, 10, 10, 0)


async def test_a_flood_on_an_empty_quota_does_not_reach_the_database(
    context: Context, caller: Caller, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, free = await quota(acme, 20, "tokens"), await quota(acme, 0, model="other")
    caller = counted_by(caller, ours, free)
    asked, write = list[Any](), context.commits.received.write

    async def watched(row: Any) -> Any:
        asked.append(row)
        return await write(row)

    monkeypatch.setattr(context.commits.received, "write", watched)
    for _ in range(50):
        refused = await refusal(context, caller)
        assert refused.admission.counter == ours.id
        assert refused.refusal_id
    assert len(asked) == 1
    await in_database(lambda: ours.change(10_000, by="test"))()
    async with asyncio.timeout(1):  # never longer than a moment
        while True:
            try:
                await submit(context, caller)
                break
            except NotAdmitted:
                await asyncio.sleep(0.02)
    assert len(asked) == 2


async def test_who_asks_for_less_is_not_refused_from_memory(
    context: Context, caller: Caller, acme: Tenant
) -> None:
    ours = await quota(acme, 200, "tokens")
    caller = counted_by(caller, ours)
    assert (await refusal(context, caller, max_tokens=500)).admission.tier == "quota"
    await submit(context, caller, max_tokens=5)


async def test_a_request_sets_aside_what_it_can_cost_at_todays_price(
    context: Context, caller: Caller, acme: Tenant
) -> None:
    engine = next(iter(engines.served()))
    await in_database(lambda: Price.set(engine, 2, "0.5", 10, by="test"))()
    await quota(acme, 10_000, "cost")
    answer = await submit(context, caller, body=b"x" * 36, max_tokens=50)
    order = answer.order
    assert order.charge.tokens == 150  # 36 bytes and what a template may add; the answer
    assert order.charge.most == 100 * 2 + 50 * 10
    assert answer.verdict.tightest["cost"].remaining == 10_000 - 700


async def test_a_request_sets_aside_what_the_dearest_pool_costs_that_it_may_reach(
    context: Context, caller: Caller, acme: Tenant, pool: str, settings: Settings
) -> None:
    entry = settings.ENGINES[pool]
    there, spare = f"{pool}-there", f"{pool}-spare"
    pools = {
        pool: entry,
        there: {**entry, "hosted": True},
        spare: {**entry, "condition": "failover"},
    }
    settings.ENGINES = {pool: {"pools": pools}}
    engines.forget()

    def priced() -> None:
        Price.set(pool, 2, 2, 10, by="test")
        Price.set(pool, 4, 1, 10, pool=there, by="test")
        Price.set(pool, 3, 3, 10, pool=spare, by="test")
        Price.set(pool, 99, 99, 99, pool="no-such-pool", by="test")

    await in_database(priced)()
    order = (await submit(context, caller, body=b"x" * 36, max_tokens=50)).order
    assert (order.pool, order.charge.most) == (pool, 100 * 4 + 50 * 10)
    asked = {each: order.charge.cost(100, 0, 50, each) for each in (pool, there, spare)}
    assert asked == {pool: 700, there: 900, spare: 800}
    stays = replace(caller, local_only_by=LocalOnlyBy.KEY)
    order = (await submit(context, stays, body=b"x" * 36, max_tokens=50)).order
    assert order.charge.most == 100 * 3 + 50 * 10, "it reaches no hosted one"


async def test_a_database_that_is_lost_in_a_reserve_sets_nothing_aside(
    context: Context, caller: Caller, acme: Tenant, database: WeakLine
) -> None:
    ours = await quota(acme, 3)
    await submit(context, caller)
    database.deaf = True  # the answer to the reserve is lost, and the line with it
    asked = asyncio.ensure_future(submit(context, caller))
    await asyncio.sleep(0.3)
    database.deaf = False
    await asked  # the group was sent again: it is in the ledger, and counts once
    standing = await in_database(ours.balance)()
    assert (standing.used, standing.reserved) == (0, 2)
    await database.down()
    with pytest.raises(OutOfService):
        await submit(context, caller)
    await database.up()
    standing = await in_database(ours.balance)()
    assert (standing.used, standing.reserved) == (0, 2)
    await submit(context, caller)


async def test_one_that_came_on_record_too_late_gives_back_what_it_set_aside(
    context: Context, caller: Caller, acme: Tenant, database: WeakLine
) -> None:
    ours = await quota(acme, 3)
    await submit(context, caller)
    database.freeze()
    with pytest.raises(OutOfService):
        await submit(context, caller)
    database.thaw()
    async with asyncio.timeout(5):
        while (await in_database(traces)())[-1] == 0:
            await asyncio.sleep(0.05)
    standing = await in_database(ours.balance)()
    assert (standing.used, standing.reserved) == (0, 1)
