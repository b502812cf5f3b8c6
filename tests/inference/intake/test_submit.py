"""Steps 3 to 6: admitted, on record, queued, or refused with nothing left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from channels.db import database_sync_to_async
from django.conf import settings as configured
from pytest_django.fixtures import Settings

from audit.keys.keyring import Keyring
from audit.keys.master_keys import MasterKeys
from audit.keys.master_keys.local import EnvKeys
from audit.models import DataKey, Event
from inference import classes, engines
from inference.classes import WorkClass
from inference.intake import enqueue
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted, OutOfService
from inference.models import Completion, State, Usage
from inference.queue.fair_queue import FairQueue, Joined
from inference.record import request_rows
from inference.stream.frames import Kind
from inference.stream.writer import Writer
from infrastructure.redis.link import RedisLink
from tenants.caller import Caller, Limits
from tenants.models import ApiKey, Tenant
from tenants.models.refusal import Refusal
from tenants.rate_limits.admission import CLOCK_KEY, concurrency_key
from tests.audit.weak_line import (
    WeakLine,
    over,
    through,
    weak_line_to_database,
    weak_line_to_redis,
)
from tests.inference.intake.submissions import submit
from tests.inference.orders import a_frame, numbers

in_database = database_sync_to_async


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


@pytest.fixture
async def redis() -> AsyncIterator[WeakLine]:
    async with weak_line_to_redis(configured.REDIS_URL) as line:
        yield line


@pytest.fixture
def wake_ups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(enqueue, "wake_up", sent.append)
    return sent


@pytest.fixture
async def context(
    settings: Settings,
    dsn: str,
    pool: str,
    database: WeakLine,
    redis: WeakLine,
    wake_ups: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Context]:
    settings.ENGINES = {pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.DATABASE_URL = through(database, dsn)
    settings.REDIS_URL = over(redis, settings.REDIS_URL)
    settings.ADDRESS_PER_MINUTE = 0
    settings.FAILOVER_WAIT_S = 0.4
    monkeypatch.setattr(enqueue, "PATIENCE_S", 1.0)
    engines.forget()
    context = Context()
    yield context
    await context.close()
    engines.forget()


@pytest.fixture
def caller(acme: Tenant) -> Caller:
    key, _ = ApiKey.issue(acme, "ci", by="test")
    return Caller(
        tenant_id=acme.id,
        tenant="acme",
        actor=key.actor,
        subject_id=key.subject_id,
        weight=4,
        limits=Limits(max_concurrency=3),
        credential=bytes(key.digest),
        api_key_id=key.id,
        scopes=frozenset({"inference"}),
    )


async def busy(link: RedisLink, caller: Caller) -> int:
    return int(await link.call("ZCARD", concurrency_key(str(caller.tenant_id))))


async def on_record() -> list[Completion]:
    return await in_database(lambda: list(Completion.objects.all()))()


async def until(ask: Callable[[], Any], seconds: float = 30) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await ask()):
            await asyncio.sleep(0.02)
    return found


async def test_a_request_is_on_record_and_in_the_queue(
    context: Context, caller: Caller, queue: FairQueue, link: RedisLink, wake_ups: list[str]
) -> None:
    answer = await submit(context, caller)
    order, admission = answer.order, answer.admission
    assert admission.tier == ""
    (completion,) = await on_record()
    assert (completion.id, completion.state) == (order.id, State.OPEN)
    assert order.id.int >> 80 == int(order.created_at * 1000)  # lists are in the order of ids
    ((item, ciphertext),) = await queue.pop(5, "runner-1")
    assert (item.id, item.weight, item.tenant) == (str(order.id), 4, str(caller.tenant_id))
    assert request_rows.key_id(ciphertext).version == 4
    assert order.body not in ciphertext
    assert order.body_form == f"openai {order.model}"
    assert await busy(link, caller) == 1
    await until(lambda: asyncio.sleep(0, wake_ups))
    assert wake_ups == [order.model]


async def test_it_is_on_record_before_it_is_in_the_queue(
    context: Context, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    join, seen = FairQueue.join, list[int]()

    async def watched(self: FairQueue, *arguments: Any) -> Joined:
        seen.append(len(await on_record()))
        return await join(self, *arguments)

    monkeypatch.setattr(FairQueue, "join", watched)
    await submit(context, caller)
    assert seen == [1]


async def test_answers_come_to_the_sink(context: Context, caller: Caller, link: RedisLink) -> None:
    answer = await submit(context, caller)
    order, buffer = answer.order, answer.buffer
    out = Writer(link)
    out.put(order, a_frame(1, 2, of=order.id))
    out.put(order, a_frame(3, 3, of=order.id, kind=Kind.END))
    got: list[int] = []
    while not (buffer.finished and len(got) == 3):
        frame = await buffer.next(2)
        assert frame
        got += numbers(frame.body)
    assert got == [1, 2, 3]


async def test_one_too_many_is_not_admitted_and_leaves_nothing(
    context: Context, caller: Caller, queue: FairQueue, link: RedisLink
) -> None:
    for _ in range(3):
        await submit(context, caller)
    with pytest.raises(NotAdmitted) as refused:
        await submit(context, caller)
    assert refused.value.admission.tier == "concurrency"
    assert len(await on_record()) == 3
    assert len(await queue.pop(9, "runner-1")) == 3
    assert len(context.frame_reader.buffers) == 3


async def test_without_the_database_nothing_runs_and_the_place_is_given_back(
    context: Context, caller: Caller, queue: FairQueue, link: RedisLink, database: WeakLine
) -> None:
    await submit(context, caller)
    await queue.pop(9, "runner-1")
    await database.down()
    for _ in range(2):
        with pytest.raises(OutOfService):
            await submit(context, caller)
    await until(lambda: _is(busy(link, caller), 1))
    assert await queue.pop(9, "runner-1") == []
    assert len(context.frame_reader.buffers) == 1
    await database.up()
    await submit(context, caller)
    assert len(await on_record()) == 2


async def _is(asked: Any, expected: object) -> bool:
    return bool(await asked == expected)


@pytest.mark.parametrize("damage", ["another master key", "the tenant's key is lost"])
async def test_without_its_key_nothing_runs_and_the_place_is_given_back(
    context: Context,
    caller: Caller,
    queue: FairQueue,
    link: RedisLink,
    settings: Settings,
    damage: str,
) -> None:
    make = in_database(Keyring().of_subject_now)
    await make(caller.tenant_id, caller.subject_id)
    if damage == "another master key":
        settings.MASTER_KEYS = MasterKeys(EnvKeys([bytes(32)]))
    else:
        await in_database(DataKey.objects.filter(subject_id=None).delete)()
    with pytest.raises(OutOfService):
        await submit(context, caller)
    assert await on_record() == []
    assert await queue.pop(5, "runner-1") == []
    await until(lambda: _is(busy(link, caller), 0))


async def test_one_that_came_on_record_too_late_is_closed_and_does_not_run(
    context: Context, caller: Caller, queue: FairQueue, link: RedisLink, database: WeakLine
) -> None:
    await submit(context, caller)
    await queue.pop(9, "runner-1")
    database.freeze()
    with pytest.raises(OutOfService):
        await submit(context, caller)
    database.thaw()
    (row,) = await until(lambda: in_database(lambda: list(Usage.objects.all()))())
    assert (row.error_code, row.finish_reason) == ("recorded_late", "error")
    assert await queue.pop(9, "runner-1") == []
    await until(lambda: _is(busy(link, caller), 1))


@pytest.mark.parametrize("how", ["down", "frozen"])
async def test_without_redis_it_waits_for_a_while_and_is_then_settled_as_not_run(
    context: Context,
    caller: Caller,
    redis: WeakLine,
    queue: FairQueue,
    link: RedisLink,
    how: str,
) -> None:
    if how == "down":
        await redis.down()
    else:
        redis.freeze()
    for _ in range(2):
        with pytest.raises(OutOfService):
            await submit(context, caller)
    assert context.limits.rate.alone
    rows = await in_database(lambda: list(Usage.objects.all()))()
    assert [(row.error_code, row.prompt_tokens, row.cost) for row in rows] == [
        ("not_queued", 0, 0)
    ] * 2
    assert {completion.state for completion in await on_record()} == {State.FAILED}
    assert context.frame_reader.buffers == {}
    if how == "down":
        await redis.up()
    else:
        redis.thaw()
    await until(lambda: _is(asyncio.sleep(0, context.limits.rate.alone), False))
    await until(lambda: _is(busy(link, caller), 0))
    order = (await submit(context, caller)).order
    popped = await until(lambda: queue.pop(9, "runner-1"))
    assert [item.id for item, _ in popped] == [str(order.id)]  # and nothing of what did not run
    assert await busy(link, caller) == 1


async def test_one_that_came_in_without_redis_runs_when_it_is_back_in_time(
    context: Context, caller: Caller, redis: WeakLine, queue: FairQueue, link: RedisLink
) -> None:
    await redis.down()
    asked = asyncio.create_task(submit(context, caller))
    await asyncio.sleep(0.3)
    assert not asked.done()
    assert len(await on_record()) == 1
    await redis.up()
    order = (await asked).order
    ((item, _),) = await queue.pop(9, "runner-1")
    assert item.id == str(order.id)
    await until(lambda: _is(busy(link, caller), 1))  # Redis is told of it


async def test_without_redis_limits_hold_all_the_same(
    context: Context, caller: Caller, redis: WeakLine
) -> None:
    await redis.down()
    strict = replace(caller, limits=Limits(requests_per_minute=60, burst=200, max_concurrency=2))
    with pytest.raises(NotAdmitted) as refused:  # its bucket starts empty
        await submit(context, strict)
    assert refused.value.admission.tier == "rate"
    assert refused.value.refusal_id.startswith("ref_")
    crowd = [submit(context, caller) for _ in range(5)]
    answers = await asyncio.gather(*crowd, return_exceptions=True)
    kinds = sorted(type(answer).__name__ for answer in answers)
    assert kinds == ["NotAdmitted"] * 2 + ["OutOfService"] * 3


async def test_after_a_loss_what_is_in_progress_keeps_its_places(
    context: Context, caller: Caller, link: RedisLink
) -> None:
    both = replace(caller, key_limits=Limits(max_concurrency=2))
    for _ in range(2):
        await submit(context, both)
    await link.call(
        "DEL", CLOCK_KEY, *[concurrency_key(str(i)) for i in (caller.tenant_id, caller.api_key_id)]
    )
    with pytest.raises(NotAdmitted) as refused:
        await submit(context, both)
    assert refused.value.admission.tier == "key_concurrency"
    assert await busy(link, caller) == 2


async def test_bytes_in_flight_are_a_limit_until_the_request_is_over(
    context: Context, caller: Caller, link: RedisLink
) -> None:
    heavy = replace(caller, limits=Limits(megabytes_in_flight=1))
    body = b'{"messages":[{"role":"user","content":"%b"}]}' % (b"x" * 700_000)
    order = (await submit(context, heavy, body=body)).order
    await link.call("DEL", CLOCK_KEY, (places := concurrency_key(str(caller.tenant_id))))
    await link.call("DEL", f"{places}:bytes")  # Redis lost its data: they are held again
    with pytest.raises(NotAdmitted) as refused:
        await submit(context, heavy, body=body)
    assert (refused.value.admission.tier, refused.value.admission.used) == ("bytes", len(body))
    small = (await submit(context, heavy)).order  # is not held up
    assert small.id != order.id
    context.cancellation.cancel(order)
    await until(lambda: _is(_exists(link, f"{places}:bytes"), 0))
    await submit(context, heavy, body=body)
    await context.refusals.flush()
    (row,) = await in_database(lambda: list(Refusal.objects.all()))()
    assert (row.tier, row.limit) == ("bytes", 1_000_000)


async def _exists(link: RedisLink, name: str) -> int:
    return int(await link.call("EXISTS", name))


async def test_a_refusal_is_noted_with_who_and_what(context: Context, caller: Caller) -> None:
    for _ in range(3):
        await submit(context, caller)
    ids = set()
    for _ in range(2):
        with pytest.raises(NotAdmitted) as refused:
            await submit(context, caller)
        ids.add(refused.value.refusal_id)
    await context.refusals.flush()
    (row,) = await in_database(lambda: list(Refusal.objects.all()))()
    assert {f"ref_{row.id.hex}"} == ids
    assert (row.tier, row.limit, row.used, row.count) == ("concurrency", 3, 3, 2)
    assert (row.actor, row.route, str(row.client_net)) == (
        caller.actor,
        "/v1/chat/completions",
        "198.51.100.0",
    )


async def test_a_failure_before_the_queue_is_settled_as_not_run(
    context: Context, caller: Caller, queue: FairQueue, link: RedisLink
) -> None:
    seen: list[UUID] = []

    async def fails(completion_id: UUID) -> None:
        seen.append((await on_record())[0].id)
        assert seen == [completion_id]
        raise psycopg.OperationalError("no conversation")

    with pytest.raises(psycopg.OperationalError):
        await submit(context, caller, before_queue=fails)
    await until(lambda: _is(busy(link, caller), 0))
    assert context.frame_reader.buffers == {}
    assert await queue.pop(9, "runner-1") == []
    (completion,) = await on_record()
    assert completion.state == State.FAILED
    (row,) = await in_database(lambda: list(Usage.objects.all()))()
    assert (row.error_code, row.prompt_tokens) == ("not_queued", 0)


async def test_what_is_refused_does_nothing_before_the_queue(
    context: Context, caller: Caller, database: WeakLine
) -> None:
    seen: list[UUID] = []

    async def note(completion_id: UUID) -> None:
        seen.append(completion_id)

    await submit(context, caller, before_queue=note)
    await database.down()
    with pytest.raises(OutOfService):
        await submit(context, caller, before_queue=note)
    assert len(seen) == 1
    await database.up()


async def test_cancelled_in_the_queue_it_is_settled_at_once(
    context: Context, caller: Caller, queue: FairQueue, link: RedisLink
) -> None:
    order = (await submit(context, caller)).order
    context.cancellation.cancel(order)
    (row,) = await until(lambda: in_database(lambda: list(Usage.objects.all()))())
    assert (row.finish_reason, row.prompt_tokens, row.completion_tokens) == ("cancelled", 0, 0)
    (completion,) = await on_record()
    assert completion.state == State.CANCELLED
    assert await queue.pop(9, "runner-1") == []
    await until(lambda: _is(busy(link, caller), 0))
    assert await in_database(Event.objects.filter(request_id=order.id).count)() == 2


async def test_cancelled_while_it_runs_its_runner_is_told(
    context: Context, caller: Caller, queue: FairQueue
) -> None:
    order = (await submit(context, caller)).order
    await queue.pop(1, "runner-1")
    context.cancellation.cancel(order)
    note = await asyncio.wait_for(queue.inbox("runner-1"), 2)
    assert note == f"cancel {order.id}".encode()
    assert await in_database(Usage.objects.count)() == 0  # that is the runner's to settle


async def test_a_chat_answers_nobody_in_particular(context: Context, caller: Caller) -> None:
    order = (await submit(context, caller, outlives_reader=True)).order
    assert order.outlives_reader
    assert order.reply_to == ""


async def test_one_that_its_client_has_lowered_counts_among_those_at_once(
    context: Context, caller: Caller, link: RedisLink
) -> None:
    for _ in range(3):
        await submit(context, caller, klass="batch")
    assert await busy(link, caller) == 3
    with pytest.raises(NotAdmitted):
        await submit(context, caller, klass="batch")
    await submit(context, caller, klass="batch", route="/v1/batches")  # nobody holds a connection
    assert await busy(link, caller) == 3


async def test_a_class_of_work_has_its_own_deadline_and_may_take_no_slot(
    context: Context, caller: Caller, link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = classes.table(WorkClass("realtime"), WorkClass("nap", deadline_s=36, takes_slot=False))
    monkeypatch.setattr(classes, "CLASSES", table)
    naps = [(await submit(context, caller, klass="nap")).order for _ in range(4)]  # three at once
    order = (await submit(context, caller)).order
    assert {nap.klass for nap in naps} == {"nap"}
    assert naps[0].deadline - naps[0].created_at == pytest.approx(36)
    assert order.deadline - order.created_at == pytest.approx(configured.REQUEST_DEADLINE_S)
    assert await busy(link, caller) == 1
    deadlines = {row.id: row.deadline for row in await on_record()}
    for each in (*naps, order):
        deadline = deadlines[each.id]
        assert deadline
        assert deadline.timestamp() == pytest.approx(each.deadline)
