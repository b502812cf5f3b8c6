"""The runner of a pool: takes what it has slots for, keeps its leases, and goes cleanly."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import orjson
import pytest
from channels.db import database_sync_to_async
from django.conf import settings as configured
from django.db import OperationalError, connection
from pytest_django.fixtures import Settings

from audit.keys.keyring import keyring
from audit.trail.commit_queue import Row
from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession
from inference.models import Completion
from inference.order import Order
from inference.queue import fair_queue
from inference.queue.fair_queue import FairQueue, prefix
from inference.record import limit_usage, request_rows, sql_statements
from inference.record.outcome import Outcome
from inference.stream import frames
from inference.stream.frames import Kind
from inference.worker import leased_request
from inference.worker import runner as module
from inference.worker.leased_request import GIVEN_UP_S
from inference.worker.runner import Runner
from infrastructure.redis.link import RedisGone, RedisLink
from tenants.models import ApiKey
from tenants.quotas.charge import Charge
from tenants.rate_limits.admission import concurrency_key
from tenants.rate_limits.held_slots import reacquire
from tests.audit.weak_line import (
    WeakLine,
    over,
    through,
    weak_line_to_database,
    weak_line_to_redis,
)
from tests.inference.conftest import forget_pool
from tests.inference.orders import CHAT, an_order, chunk, usage
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine, Step

in_database = database_sync_to_async
QUICK: list[Step] = [[chunk("Hel"), chunk("lo")], [chunk(finish="stop"), usage(5, 2)]]


def lasting(seconds: float) -> list[Step]:
    return [[chunk("Hel"), chunk("lo")], float(seconds), [chunk(finish="stop"), usage(5, 2)]]


async def test_it_runs_what_waits_settles_it_and_leaves(bench: Bench) -> None:
    orders = await bench.submit(10)
    engine = ScriptedEngine(QUICK, slots=4)
    bench.start(engine)
    rows = await bench.settled(10)
    assert {row.completion_id for row in rows} == {order.id for order in orders}
    assert all((row.prompt_tokens, row.completion_tokens) == (5, 2) for row in rows)
    await asyncio.wait_for(bench.drains[0], 30)
    assert [frame.kind for frame in await bench.history(orders[0])] == [Kind.EVENTS, Kind.END]
    assert await bench.queue.pop(5, "another") == []


async def test_a_large_request_is_read_from_the_record_and_not_carried_by_redis(
    bench: Bench,
) -> None:
    large = CHAT[:-1] + b',"user":"%b"}' % (b"x" * 100_000)
    (order,) = await bench.submit(1, body=large)
    key = keyring.of_subject(order.tenant_id, order.subject_id)
    ciphertext = request_rows.encrypted_order(order, await key)
    await in_database(_put_on_record)(order, ciphertext)
    assert await bench.link.call("HGET", f"{prefix(bench.pool)}:orders", str(order.id)) == b""
    engine = ScriptedEngine(QUICK)
    bench.start(engine)
    (row,) = await bench.settled(1)
    assert (row.completion_id, row.error_code) == (order.id, "")
    assert engine.asked[0].body == large


def _put_on_record(order: Order, ciphertext: bytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into audit_payload (at, tenant_id, request_id, field, data_key_id, ciphertext)"
            " values (now(), %s, %s, 'request', %s, %s)",
            [order.tenant_id, order.id, request_rows.key_id(ciphertext), ciphertext[16:]],
        )


async def test_no_more_at_once_than_the_engine_has_slots(bench: Bench) -> None:
    await bench.submit(12)
    engine, most = ScriptedEngine(lasting(0.1), slots=3), 0
    bench.start(engine)
    while not await in_database(bench._usage)(12):
        most = max(most, engine.speaking)
        await asyncio.sleep(0.01)
    assert most == 3


async def test_a_note_wakes_it_while_it_is_parked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_S", 20)
    bench.start(ScriptedEngine(QUICK))
    await bench.submit(1)
    await bench.settled(1)
    for n in range(2, 6):
        await asyncio.sleep(0.1)
        await bench.submit(1)
        assert not bench.wanted_a_wake_up
        await bench.settled(n)


async def test_a_cancelled_request_ends_within_a_second(bench: Bench) -> None:
    (order,) = await bench.submit(1)
    engine = ScriptedEngine(lasting(30))
    bench.start(engine)
    await until(lambda: bench.history(order))
    assert await bench.queue.cancel(str(order.id)) == "running"
    began = time.monotonic()
    (row,) = await bench.settled(1)
    assert time.monotonic() - began < 1
    assert (row.finish_reason, row.completion_tokens) == ("cancelled", 2)
    assert engine.speaking == 0


async def test_a_long_answer_keeps_its_lease(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "LEASE_MS", 300)
    await bench.submit(2)
    bench.start(ScriptedEngine(lasting(1)))
    for _ in range(20):
        await asyncio.sleep(0.05)
        assert await bench.sweep() == 0
    assert all(row.attempts == 1 for row in await bench.settled(2))


async def test_stopped_it_finishes_what_it_has_and_takes_no_more(bench: Bench) -> None:
    await bench.submit(3)
    engine = ScriptedEngine(lasting(0.5), slots=2)
    runner = bench.start(engine)
    await until(lambda: _speaking(engine, 2))
    runner.stop()
    await asyncio.wait_for(bench.drains[0], 30)
    assert len(await bench.settled(2)) == 2
    assert len(await bench.queue.pop(5, "another")) == 1


async def _speaking(engine: ScriptedEngine, n: int) -> bool:
    return engine.speaking == n


# From then on its beats only renew leases: one that seems to live keeps others from being called.
class Used(ScriptedEngine):
    in_use = False

    @asynccontextmanager
    async def used(self, redis: RedisLink) -> AsyncGenerator[Engine]:
        await redis.call("PING")
        self.in_use = True
        yield self
        await redis.call("PING")
        self.in_use = False


async def test_it_uses_its_engine_until_all_has_ended(bench: Bench) -> None:
    engine = Used(lasting(1.5))
    runner = bench.start(engine)
    await bench.submit(1)
    await until(lambda: _speaking(engine, 1))
    runner.stop()
    await asyncio.sleep(0.1)
    assert engine.speaking
    assert engine.in_use
    await asyncio.wait_for(bench.drains[0], 30)
    assert not engine.in_use


async def test_while_it_finishes_somebody_else_is_called(bench: Bench) -> None:
    await bench.submit(1)
    engine = ScriptedEngine(lasting(1.5), slots=4)
    runner = bench.start(engine)
    await until(lambda: _speaking(engine, 1))
    await asyncio.sleep(0.2)
    runner.stop()
    await asyncio.sleep(0.2)
    await bench.link.call("DEL", f"{prefix(bench.pool)}:called")
    await bench.submit(1)
    assert bench.wanted_a_wake_up


async def test_a_failed_goodbye_does_not_silence_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_queue, "LEASE_MS", 400)
    runner = bench.start(ScriptedEngine(lasting(1.5)))
    said, leave = asyncio.Event(), FairQueue.leave

    async def cut_off(queue: FairQueue, who: str, *, stop: bool) -> bool:
        if not said.is_set():
            said.set()
            raise RedisGone("away for a moment")
        return await leave(queue, who, stop=stop)

    monkeypatch.setattr(FairQueue, "leave", cut_off)
    await asyncio.wait_for(said.wait(), 3)
    await bench.submit(1)
    await until(lambda: _speaking(runner.engine, 1))  # type: ignore[arg-type]
    taken_away = 0
    for _ in range(20):
        await asyncio.sleep(0.05)
        taken_away += await bench.sweep()
    assert taken_away == 0


async def test_a_request_that_comes_back_to_the_same_runner_runs_there_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.submit(1, stream=False)
    engine = ScriptedEngine([4.0, _whole()], [1.2, _whole()], slots=4)
    runner = bench.start(engine)
    await until(lambda: _asked(engine, 1))
    ((item, _),) = runner.requests.leased.values()
    await bench.link.call("ZADD", f"{prefix(bench.pool)}:leases", 1, str(item))
    assert await bench.sweep() == 1
    await until(lambda: _asked(engine, 2))
    await until(lambda: _speaking(engine, 1), seconds=0.5)
    monkeypatch.setattr(fair_queue, "LEASE_MS", 300)
    for _ in range(14):
        await asyncio.sleep(0.05)
        assert await bench.sweep() == 0
    (row,) = await bench.settled(1)
    assert (row.attempts, row.finish_reason) == (2, "stop")


class Held(ScriptedEngine):
    """Has its answer when it is let go."""

    def __init__(self, text: str, slots: int = 4) -> None:
        super().__init__([_whole(text)], slots=slots)
        self.go = asyncio.Event()

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        body = await super().answer(session, order)
        await self.go.wait()
        return body


async def test_a_request_that_comes_back_while_it_is_over_is_not_run_again(
    bench: Bench, settings: Settings, dsn: str
) -> None:
    """Its worker was cut off from PostgreSQL and Redis, and hears from Redis first."""
    engine = Held("first")
    async with weak_line_to_database(dsn) as line:
        settings.DATABASE_URL = through(line, dsn)
        (order,) = await bench.submit(1, stream=False)
        runner = bench.start(engine)
        await _has_an_answer_it_cannot_settle(runner, engine, line)
        assert await bench.leases_run_out() == 1
        await until(lambda: _holds(runner, order, attempt=2))
        await asyncio.sleep(0.3)
        await line.up()
        (row,) = await bench.settled(1)
        runner.stop()
        await asyncio.wait_for(bench.drains[0], 30)
    assert (row.attempts, len(engine.asked)) == (1, 1)
    assert b"first" in (await _body_of(bench, order))
    assert await bench.queue.cancel(str(order.id)) == "gone"


@pytest.mark.parametrize("sooner", ["first", "second"])
async def test_of_two_that_have_an_answer_the_one_on_record_is_given_out(
    bench: Bench, settings: Settings, dsn: str, sooner: str
) -> None:
    """One was cut off from PostgreSQL when it had its answer; another has taken the request up."""
    one, other = Held("first", slots=1), Held("second", slots=1)
    async with weak_line_to_database(dsn) as line:
        settings.DATABASE_URL = through(line, dsn)
        (order,) = await bench.submit(1, stream=False)
        await _has_an_answer_it_cannot_settle(bench.start(one), one, line)
        assert await bench.leases_run_out() == 1
        settings.DATABASE_URL = dsn
        bench.start(other)
        await until(lambda: _asked(other, 1))
        if sooner == "first":
            await line.up()
        else:
            other.go.set()
        (row,) = await bench.settled(1)
        other.go.set()
        if sooner == "second":
            await line.up()
        for runner in bench.runners:
            runner.stop()
        await asyncio.wait_for(asyncio.gather(*bench.drains), 30)
    assert row.attempts == (1 if sooner == "first" else 2)
    assert sooner.encode() in await _body_of(bench, order)


async def _has_an_answer_it_cannot_settle(runner: Runner, engine: Held, line: WeakLine) -> None:
    await until(lambda: _asked(engine, 1))
    await line.down()
    engine.go.set()
    await until(lambda: _settling(runner))


async def _settling(runner: Runner) -> bool:
    return any(handler.settling for handler in runner.requests.running.values())


async def _body_of(bench: Bench, order: Order) -> bytes:
    """Of the one answer that a web process gets."""
    (frame,) = [frame for frame in await bench.returned("web-1") if frame.id == order.id.bytes]
    return frame.body


async def _holds(runner: Runner, order: Order, attempt: int) -> bool:
    item, _ = runner.requests.leased.get(str(order.id), (None, b""))
    return item is not None and item.attempt == attempt


async def _asked(engine: ScriptedEngine, n: int) -> bool:
    return len(engine.asked) >= n


def _whole(text: str = "Hello") -> bytes:
    return orjson.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})


async def test_when_redis_loses_everything_running_answers_go_on(
    bench: Bench, link: RedisLink
) -> None:
    await bench.sweep()  # an epoch
    (order,) = await bench.submit(1)
    engine = ScriptedEngine(lasting(1))
    bench.start(engine)
    await until(lambda: bench.history(order))
    await asyncio.sleep(0.1)
    await forget_pool(link, bench.pool)
    await link.call("DEL", frames.history(order.id.bytes))
    await asyncio.sleep(0.3)
    assert await bench.sweep() == 0
    (row,) = await bench.settled(1)
    assert (row.attempts, row.completion_tokens) == (1, 2)
    assert len(engine.asked) == 1
    kept = b"".join(frame.body for frame in await bench.history(order))
    assert kept.count(b"data: ") == 4  # two pieces of text, the finish, [DONE]


async def test_while_redis_is_away_it_works_and_settles_afterwards(
    bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_S", 20)
    async with weak_line_to_redis(configured.REDIS_URL) as line:
        settings.REDIS_URL = over(line, configured.REDIS_URL)
        (order,) = await bench.submit(1)
        engine = ScriptedEngine(lasting(0.6))
        bench.start(engine)
        await until(lambda: _speaking(engine, 1))
        await line.down()
        await asyncio.sleep(0.8)
        await line.up()
        (row,) = await bench.settled(1)
        assert row.finish_reason == "stop"
        await until(lambda: _over(bench, order))
        await bench.submit(1)
        assert len(await bench.settled(2)) == 2
        bench.runners[0].stop()
        await asyncio.wait_for(bench.drains[0], 30)


async def _over(bench: Bench, order: Order) -> bool:
    found = await bench.history(order)
    return bool(found) and found[-1].final


async def test_an_error_answer_of_redis_does_not_end_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_S", 20)
    pop, refusals = FairQueue.pop, 3

    async def loading(queue: FairQueue, n: int, who: str) -> Any:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise hiredis.ReplyError("LOADING Redis is loading the dataset in memory")
        return await pop(queue, n, who)

    monkeypatch.setattr(FairQueue, "pop", loading)
    await bench.submit(1)
    bench.start(ScriptedEngine(QUICK))
    await bench.settled(1)
    assert not bench.drains[0].done()


async def test_one_that_cannot_be_read_does_not_block_the_queue(bench: Bench) -> None:
    order = an_order(tenant_id=bench.acme.id, model=bench.pool)
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    await bench.queue.enqueue(order.item, cipher.key_id.bytes + b"changed on its way")
    await bench.submit(1)
    bench.start(ScriptedEngine(QUICK))
    assert len(await bench.settled(1)) == 1
    assert await bench.sweep() == 0


async def test_one_that_cannot_be_read_gives_back_its_keys_places_and_bytes(
    bench: Bench, link: RedisLink
) -> None:
    key, _ = await in_database(ApiKey.issue)(bench.acme, "ci", by="test")
    large, charge = b"x" * 100_000, Charge(api_key_id=key.pk)
    order = an_order(tenant_id=bench.acme.id, model=bench.pool, body=large, charge=charge)
    await in_database(bench._record)(order)
    await in_database(Completion.objects.filter(id=order.id).update)(api_key=key)
    await reacquire(link, limit_usage.slot(order), 600)
    owners = [concurrency_key(str(bench.acme.pk)), concurrency_key(str(key.pk))]
    names = [*owners, *(f"{owner}:bytes" for owner in owners)]
    assert await link.call("EXISTS", *names) == 4
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    await bench.queue.enqueue(order.item, cipher.key_id.bytes + b"its text has been erased")
    bench.start(ScriptedEngine(QUICK))
    await until(lambda: _none(link, names))


async def _none(link: RedisLink, names: list[str]) -> bool:
    return not await link.call("EXISTS", *names)


async def test_one_that_was_settled_already_is_not_run_again(bench: Bench) -> None:
    """Its runner died between the settlement and the queue's hearing of it."""
    (order,) = await bench.submit(1)
    ((item, ciphertext),) = await bench.queue.pop(1, "dead")
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    row = request_rows.settled_row(order, Outcome(completion_tokens=9), cipher, time.time())
    await in_database(_write)(row)
    await bench.link.call("ZADD", f"{prefix(bench.pool)}:leases", 1, str(item))
    assert await bench.sweep() == 1
    engine = ScriptedEngine(QUICK)
    bench.start(engine)
    await asyncio.wait_for(bench.drains[0], 30)
    assert engine.asked == []
    (usage_row,) = await bench.settled(1)
    assert usage_row.completion_tokens == 9
    assert await bench.queue.cancel(str(order.id)) == "gone"


async def test_one_that_its_web_process_gave_up_is_not_run(bench: Bench) -> None:
    """It did come into the queue: only Redis' answer to that was lost. It is its first attempt."""
    (order,) = await bench.submit(1, created_at=time.time() - GIVEN_UP_S - 1)
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    given_up = Outcome(state="failed", status=503, finish_reason="error", error_code="not_queued")
    row = request_rows.settled_row(order, given_up, cipher, time.time())
    await in_database(_write)(row)
    engine = ScriptedEngine(QUICK)
    bench.start(engine)
    await asyncio.wait_for(bench.drains[0], 30)
    assert engine.asked == []
    (usage_row,) = await bench.settled(1)
    assert usage_row.error_code == "not_queued"
    assert await bench.queue.cancel(str(order.id)) == "gone"


def _write(row: Row) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql_statements.SETTLED, [orjson.dumps([row]).decode()])


# BUG (reported): it failed at once, and each failure cost an attempt: after four, `worker_lost`.
async def test_a_second_attempt_waits_for_the_database(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.submit(1)
    ((item, _),) = await bench.queue.pop(1, "dead")
    await bench.link.call("ZADD", f"{prefix(bench.pool)}:leases", 1, str(item))
    assert await bench.sweep() == 1
    settled, outages = leased_request._is_over, 3

    def away(order: Order) -> bool:
        nonlocal outages
        if outages:
            outages -= 1
            raise OperationalError("PostgreSQL is away")
        return settled(order)

    monkeypatch.setattr(leased_request, "_is_over", away)
    bench.start(ScriptedEngine(QUICK))
    (row,) = await bench.settled(1)
    assert (row.attempts, row.finish_reason) == (2, "stop")
