"""What an engine fails at another one does; an engine that fails again and again is left alone."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pytest
from channels.db import database_sync_to_async
from django.db import connection
from pytest_django.fixtures import Settings

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.models import Event
from inference import engines
from inference.api.refusals import as_error
from inference.engines.base import (
    AnswerBroken,
    AnswerTooLong,
    EngineAway,
    EngineFailed,
    EngineFull,
    NotOffered,
    Turn,
    away,
    read_on,
)
from inference.engines.health import breakers
from inference.engines.health.breakers import Phase
from inference.engines.transport.session import EngineSession
from inference.intake.errors import EnginesPaused
from inference.intake.route import route
from inference.models import Usage
from inference.order import Order
from inference.personal_data import recipients
from inference.queue.fair_queue import prefix
from inference.record import statements
from inference.worker import runner
from inference.worker.failover import belongs_elsewhere, fail_over
from inference.worker.handlers import generation
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tenants.quotas.charge import Charge, Prices
from tests.inference.conftest import forget_pool
from tests.inference.orders import an_order, chunk, usage
from tests.inference.queue.test_pools import REALTIME, a_caller
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine, Step

in_database = database_sync_to_async
LEFT, COMPLETED = Action.COMPLETION_LEFT, Action.COMPLETION_COMPLETED
QUICK: list[Step] = [[chunk("Hel"), chunk("lo")], [chunk(finish="stop"), usage(5, 2)]]
AWAY: list[Step] = [EngineAway("the engine does not answer")]
BROKEN: list[Step] = [AnswerBroken()]
INTERNAL_ERROR: list[Step] = [EngineFailed(502, "engine_failed", "the engine answered 500")]
CLIENTS_MISTAKE: list[Step] = [EngineFailed(400, "invalid_request", "no such role")]
NO_PATH: list[Step] = [NotOffered()]


class Pools(Bench):
    """`first` and `second` have an engine each, `both` has two; each is named as its runner's."""

    async def put(self, pool: str, **changes: Any) -> Order:
        order = an_order(tenant_id=self.acme.id, model=self.pool, pool=pool, **changes)
        cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        ciphertext = statements.encrypted_order(order, cipher)
        await in_database(self._on_record)(order, ciphertext)
        await self.queue.of(pool).enqueue(order.item, ciphertext)
        return order

    def _on_record(self, order: Order, ciphertext: bytes) -> None:
        with connection.cursor() as cursor:
            row = statements.received_row(order, ciphertext)
            cursor.execute(statements.RECEIVED, [orjson.dumps([row]).decode()])

    async def served(self, pool: str, times: int) -> list[Usage]:
        """So many requests, one after the other."""
        before = await in_database(Usage.objects.count)()
        for n in range(times):
            await self.put(pool)
            rows = await self.settled(before + n + 1)
        return rows[-times:]


ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}


@pytest.fixture
async def bench(
    quick: None, pool: str, acme: Tenant, link: RedisLink, settings: Settings, monkeypatch: Any
) -> AsyncIterator[Pools]:
    monkeypatch.setattr(generation, "ELSEWHERE_AFTER_S", 0.05)
    monkeypatch.setattr(generation, "ENGINE_PATIENCE_S", 0.3)
    monkeypatch.setattr(runner, "LINGER_S", 30.0)
    breakers.forget()
    second = f"{pool}-second"
    settings.ENGINES = {pool: {"pools": {pool: ENGINE, second: ENGINE}}}
    engines.forget()
    bench = Pools(pool, acme, link)
    yield bench
    for each in bench.runners:
        each.stop()
    for drain in bench.drains:
        await drain
    await forget_pool(link, second)
    await link.call("DEL", breakers.STATES_KEY)
    breakers.forget()
    engines.forget()


def second(bench: Pools) -> str:
    return f"{bench.pool}-second"


@pytest.mark.parametrize("how", [AWAY, BROKEN, INTERNAL_ERROR, NO_PATH, [EngineFull(hosted=False)]])
@pytest.mark.parametrize("stream", [True, False])
async def test_what_one_fails_at_before_its_first_byte_the_other_does(
    bench: Pools, how: list[Step], stream: bool
) -> None:
    whole: list[Step] = [orjson.dumps(_ANSWER)]
    bench.start(ScriptedEngine(how))
    bench.drain(second(bench), ScriptedEngine(QUICK if stream else whole))
    await bench.put(bench.pool, stream=stream)
    (row,) = await bench.settled(1)
    assert (row.pool, row.error_code, row.completion_tokens) == (second(bench), "", 2)


_ANSWER = {
    "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


def hosted(*turns: list[Step]) -> ScriptedEngine:
    engine = ScriptedEngine(*turns)
    engine.config = replace(engine.config, hosted=True)
    return engine


async def _events(order: Order) -> list[tuple[str, str]]:
    found = Event.objects.filter(request_id=order.id, action__in=[LEFT, COMPLETED]).order_by("id")
    return await in_database(lambda: list(found.values_list("action", "upstream")))()


@pytest.mark.parametrize("how", [BROKEN, INTERNAL_ERROR, AWAY])
async def test_what_a_hosted_service_had_first_has_left(bench: Pools, how: list[Step]) -> None:
    """Also where another one answered: usage, the trail, and who is told of an erasure."""
    bench.start(hosted(how))
    bench.drain(second(bench), ScriptedEngine(QUICK))
    order = await bench.put(bench.pool)
    (row,) = await bench.settled(1)
    assert (row.pool, row.hosted) == (second(bench), True)
    service = "openai 127.0.0.1"
    assert await _events(order) == [(LEFT, service), (COMPLETED, "openai/127.0.0.1")]
    assert await in_database(recipients.not_notified)(order.tenant_id, order.subject_id) == 1


async def test_who_served_is_paid(bench: Pools) -> None:
    dear = Charge(prompt_price=1, completion_price=1, elsewhere={second(bench): Prices(10, 10, 20)})
    bench.start(ScriptedEngine(AWAY))
    bench.drain(second(bench), ScriptedEngine(QUICK))
    await bench.put(bench.pool, charge=dear)
    (row,) = await bench.settled(1)
    assert (row.pool, row.cost) == (second(bench), 5 * 10 + 2 * 20)


async def test_what_never_reached_a_hosted_service_has_not_left(bench: Pools) -> None:
    bench.start(hosted([away(OSError("no route"))]))
    bench.drain(second(bench), ScriptedEngine(QUICK))
    order = await bench.put(bench.pool)
    (row,) = await bench.settled(1)
    assert (row.pool, row.hosted) == (second(bench), False)
    assert await _events(order) == [(COMPLETED, "openai/127.0.0.1")]


async def test_what_was_given_out_stays_where_it_is(bench: Pools) -> None:
    there = ScriptedEngine(QUICK)
    bench.start(ScriptedEngine([[chunk("Hel")], AnswerBroken()]))
    bench.drain(second(bench), there)
    await bench.put(bench.pool)
    (row,) = await bench.settled(1)
    assert (row.pool, row.error_code, row.completion_tokens) == (bench.pool, "engine_failed", 1)
    assert not there.asked


async def test_after_five_failures_nobody_asks_it_until_its_probe_is_answered(
    bench: Pools,
) -> None:
    failing = ScriptedEngine(*[INTERNAL_ERROR] * 5, QUICK)
    bench.start(failing)
    bench.drain(second(bench), ScriptedEngine(QUICK))
    rows = await bench.served(bench.pool, 7)
    assert {(row.pool, row.error_code) for row in rows} == {(second(bench), "")}
    assert len(failing.asked) == 5, "of seven that waited in its queue"
    assert breakers.phase(bench.pool) is Phase.OPEN
    assert route(a_caller(), bench.pool, REALTIME).name == second(bench)
    await _thirty_seconds_pass(bench)
    assert route(a_caller(), bench.pool, REALTIME).name == bench.pool, "the next one is its probe"
    rows = await bench.served(bench.pool, 3)
    assert {row.pool for row in rows} == {bench.pool}
    await until(partial(_all_is_well, bench))


async def _thirty_seconds_pass(bench: Pools) -> None:
    """For this engine alone."""
    kept = await bench.link.call("HGET", breakers.STATES_KEY, bench.pool)
    due = orjson.dumps({**orjson.loads(kept), "due": 1})
    await bench.link.call("HSET", breakers.STATES_KEY, bench.pool, due)
    await until(partial(_is_due, bench))


async def _is_due(bench: Pools) -> bool:
    return breakers.phase(bench.pool) is Phase.DUE


async def _all_is_well(bench: Pools) -> bool:
    return not breakers.has_trouble(bench.pool)


async def test_a_probe_that_fails_costs_its_request_nothing(bench: Pools) -> None:
    failing = ScriptedEngine(INTERNAL_ERROR)
    bench.start(failing)
    bench.drain(second(bench), ScriptedEngine(QUICK))
    await bench.served(bench.pool, 5)
    await _thirty_seconds_pass(bench)
    (row,) = await bench.served(bench.pool, 1)
    assert (row.pool, row.error_code) == (second(bench), "")
    assert len(failing.asked) == 6
    await until(partial(_is_open, bench.pool))


async def _is_open(engine: str) -> bool:
    return breakers.phase(engine) is Phase.OPEN


async def test_one_tenants_poison_leaves_the_engine_to_others(bench: Pools) -> None:
    """Each of its requests is answered with 500, whichever engine it reaches."""
    initech = await in_database(Tenant.objects.create)(name="initech")
    bench.start(ScriptedEngine(QUICK, INTERNAL_ERROR))
    bench.drain(second(bench), ScriptedEngine(QUICK))
    acme, bench.acme = bench.acme, initech
    await bench.served(bench.pool, 1)
    bench.acme = acme
    await bench.served(bench.pool, 8)
    assert breakers.phase(bench.pool) is Phase.CLOSED
    assert breakers.has_trouble(bench.pool)


async def test_a_hosted_service_that_is_full_and_does_not_say_for_how_long(bench: Pools) -> None:
    bench.start(ScriptedEngine([EngineFull(hosted=True)]))
    bench.drain(second(bench), ScriptedEngine(QUICK))
    rows = await bench.served(bench.pool, 5)
    assert {row.pool for row in rows} == {second(bench)}
    assert 20 < breakers.retry_after(bench.pool) <= 30


@pytest.mark.parametrize("how", [CLIENTS_MISTAKE, [AnswerTooLong()], NO_PATH], ids=str)
async def test_what_is_not_the_engines_fault_never_opens_it(bench: Pools, how: list[Step]) -> None:
    bench.start(ScriptedEngine(how))
    bench.drain(second(bench), ScriptedEngine(QUICK))
    await bench.served(bench.pool, 6)
    assert not breakers.has_trouble(bench.pool)


async def test_a_path_that_no_engine_has_is_told_and_leaves_other_paths_open(bench: Pools) -> None:
    bench.start(ScriptedEngine(*[NO_PATH] * 6, QUICK))
    bench.drain(second(bench), ScriptedEngine(NO_PATH))
    rows = await bench.served(bench.pool, 6)
    assert {(row.status, row.error_code) for row in rows} == {(404, "not_offered")}
    (row,) = await bench.served(bench.pool, 1)
    assert (row.pool, row.error_code) == (bench.pool, "")


class Narrow(ScriptedEngine):
    """Answers 429 to what is more than so many at once."""

    def __init__(self, lets_in: int, *turns: list[Step], **how: Any) -> None:
        super().__init__(*turns, **how)
        self.lets_in, self.refused = lets_in, 0

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        if self.speaking >= self.lets_in:
            self.refused += 1
            raise EngineFull(hosted=False)
        async for events in super().events(session, order, turn):
            yield events


SLOW: list[Step] = [[chunk("Hel")], 0.3, [chunk("lo"), chunk(finish="stop"), usage(5, 2)]]
LONG: list[Step] = [[chunk("Hel")], 1.5, [chunk("lo"), chunk(finish="stop"), usage(5, 2)]]


@pytest.fixture
def hosted_behind(bench: Pools, settings: Settings) -> str:
    """A pool of two engines here, and a hosted one for failover. Returns the hosted one's name."""
    there = f"{bench.pool}-there"
    here = {**ENGINE, "engines": [{"slots": 8}, {"slots": 8}]}
    far = {**ENGINE, "hosted": True, "condition": "failover"}
    settings.ENGINES = {bench.pool: {"pools": {bench.pool: here, there: far}}}
    engines.forget()
    return there


def start_here(bench: Pools, *started: ScriptedEngine) -> None:
    for engine, entry in zip(started, engines.pools()[bench.pool].engines, strict=True):
        engine.config = entry.config
        bench.start(engine)


async def test_while_another_engine_here_has_room_nothing_leaves_the_house(
    bench: Pools, hosted_behind: str
) -> None:
    full, far = Narrow(0, SLOW), ScriptedEngine(QUICK)
    start_here(bench, full, ScriptedEngine(SLOW, slots=8))
    bench.drain(hosted_behind, far)
    for _ in range(40):
        await bench.put(bench.pool)
    rows = await bench.settled(40)
    assert {(row.pool, row.error_code) for row in rows} == {(bench.pool, "")}
    assert not far.asked
    assert full.refused, "else nothing is shown"


async def test_an_engine_that_lets_in_nothing_is_left_alone(bench: Pools) -> None:
    full = Narrow(0, QUICK)
    bench.start(full)
    bench.drain(second(bench), ScriptedEngine(QUICK))
    rows = await bench.served(bench.pool, 5)
    assert {(row.pool, row.error_code) for row in rows} == {(second(bench), "")}
    await until(partial(_is_open, bench.pool))


async def test_an_engine_that_is_full_gets_what_it_lets_in_and_the_others_wait_here(
    bench: Pools, hosted_behind: str
) -> None:
    """It has fewer slots than its entry says; so has the other one of the pool."""
    narrow, far = [Narrow(2, LONG), Narrow(2, LONG)], ScriptedEngine(QUICK)
    for _ in range(16):
        await bench.put(bench.pool)
    start_here(bench, *narrow)
    bench.drain(hosted_behind, far)
    rows = await bench.settled(16)
    assert {(row.pool, row.error_code) for row in rows} == {(bench.pool, "")}
    assert not far.asked
    assert not any(breakers.has_trouble(engine.config.id) for engine in narrow)
    assert sum(engine.refused for engine in narrow) < 100, (
        "each asks now and then, not all the time"
    )


async def test_a_path_that_no_engine_here_has_does_not_leave_the_house(
    bench: Pools, hosted_behind: str
) -> None:
    far = ScriptedEngine(QUICK)
    start_here(bench, ScriptedEngine(NO_PATH), ScriptedEngine(NO_PATH))
    bench.drain(hosted_behind, far)
    (row,) = await bench.served(bench.pool, 1)
    assert (row.status, row.error_code, far.asked) == (404, "not_offered", [])


async def test_a_hosted_service_that_is_full_is_left_alone_for_as_long_as_it_asked(
    bench: Pools,
) -> None:
    full = EngineFull(hosted=True)
    full.asked_to_wait = 90
    bench.start(ScriptedEngine([full]))
    bench.drain(second(bench), ScriptedEngine(QUICK))
    rows = await bench.served(bench.pool, 5)
    assert {row.pool for row in rows} == {second(bench)}
    assert 80 < breakers.retry_after(bench.pool) <= 90


async def test_when_all_are_open_the_caller_hears_when_to_come_back(bench: Pools) -> None:
    bench.start(ScriptedEngine(INTERNAL_ERROR))
    bench.drain(second(bench), ScriptedEngine(INTERNAL_ERROR))
    await bench.served(bench.pool, 5)
    await until(partial(_is_open, bench.pool))
    await until(partial(_is_open, second(bench)))
    with pytest.raises(EnginesPaused) as refused:
        route(a_caller(), bench.pool, REALTIME)
    error = as_error(refused.value)
    assert (error.status, error.code) == (503, "engine_unavailable")
    assert 20 < error.retry_after <= 30
    (row,) = await bench.served(bench.pool, 1)
    assert (row.error_code, row.completion_tokens) == ("engine_unavailable", 0), "it waited in line"


async def test_another_engine_of_the_pool_takes_what_one_fails_at(
    bench: Pools, settings: Settings
) -> None:
    settings.ENGINES = {bench.pool: {**ENGINE, "engines": [{}, {}]}}
    engines.forget()
    broken = ScriptedEngine(INTERNAL_ERROR, name=f"{bench.pool}.1", slots=1)
    well = ScriptedEngine(QUICK, name=f"{bench.pool}.2", slots=1)
    for engine in (broken, well):
        engine.config = engines.pools()[bench.pool].engine(engine.config.name).config
        bench.start(engine)
    for _ in range(20):
        await bench.put(bench.pool)
    rows = await bench.settled(20)
    assert {row.error_code for row in rows} <= {"", "engine_failed"}
    assert len(broken.asked) <= 5, "then it rests"
    rows = await bench.served(bench.pool, 3)
    assert {row.error_code for row in rows} == {""}
    assert {one.detail["engine"] for one in await completed()} == {well.config.id}


@in_database
def completed() -> list[Event]:
    return list(Event.objects.filter(action="completion:completed", error_code=""))


@pytest.mark.parametrize("to", ["", "-second"])
async def test_what_somebody_else_has_taken_up_is_not_handed_over(bench: Pools, to: str) -> None:
    """Its worker was cut off while its engine failed, and came back after its lease."""
    order = await bench.put(bench.pool)
    ((item, ciphertext),) = await bench.queue.pop(1, "cut off")
    assert await bench.leases_run_out() == 1
    ((again, _),) = await bench.queue.pop(1, "another")
    await fail_over(bench.queue, engines.pools()[bench.pool + to], item, ciphertext)
    assert not await in_database(belongs_elsewhere)(order.id, bench.pool)
    for pool in (bench.pool, second(bench)):
        assert await bench.queue.of(pool).pop(1, "a third") == []
    known = await bench.link.call("HEXISTS", f"{prefix(bench.pool)}:orders", again.id)
    assert (known, await bench.queue.holds(again)) == (1, True)
