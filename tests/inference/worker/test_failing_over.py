"""What an engine fails at another one does; an engine that fails again and again is left alone."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from audit.actions import Action
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
from inference.order import Order
from inference.personal_data import recipients
from inference.queue.fair_queue import prefix
from inference.worker.failover import belongs_elsewhere, fail_over
from tenants.models import Tenant
from tenants.quotas.charge import Charge, Prices
from tests.inference.callers import REALTIME, a_caller
from tests.inference.orders import chunk, usage
from tests.inference.running import until
from tests.inference.scripted import ScriptedEngine, Step
from tests.inference.worker.two_pools import ENGINE, Pools, second

in_database = database_sync_to_async
LEFT, COMPLETED = Action.COMPLETION_LEFT, Action.COMPLETION_COMPLETED
QUICK: list[Step] = [[chunk("Hel"), chunk("lo")], [chunk(finish="stop"), usage(5, 2)]]
AWAY: list[Step] = [EngineAway("the engine does not answer")]
BROKEN: list[Step] = [AnswerBroken()]
INTERNAL_ERROR: list[Step] = [EngineFailed(502, "engine_failed", "the engine answered 500")]
CLIENTS_MISTAKE: list[Step] = [EngineFailed(400, "invalid_request", "no such role")]
NO_PATH: list[Step] = [NotOffered()]


@pytest.mark.parametrize("how", [AWAY, BROKEN, INTERNAL_ERROR, NO_PATH, [EngineFull(hosted=False)]])
@pytest.mark.parametrize("stream", [True, False])
async def test_what_one_fails_at_before_its_first_byte_the_other_does(
    pools: Pools, how: list[Step], stream: bool
) -> None:
    whole: list[Step] = [orjson.dumps(_ANSWER)]
    pools.start(ScriptedEngine(how))
    pools.drain(second(pools), ScriptedEngine(QUICK if stream else whole))
    await pools.put(pools.pool, stream=stream)
    (row,) = await pools.settled(1)
    assert (row.pool, row.error_code, row.completion_tokens) == (second(pools), "", 2)


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
async def test_what_a_hosted_service_had_first_has_left(pools: Pools, how: list[Step]) -> None:
    """Also where another one answered: usage, the trail, and who is told of an erasure."""
    pools.start(hosted(how))
    pools.drain(second(pools), ScriptedEngine(QUICK))
    order = await pools.put(pools.pool)
    (row,) = await pools.settled(1)
    assert (row.pool, row.hosted) == (second(pools), True)
    service = "openai 127.0.0.1"
    assert await _events(order) == [(LEFT, service), (COMPLETED, "openai/127.0.0.1")]
    assert await in_database(recipients.not_notified)(order.tenant_id, order.subject_id) == 1


async def test_who_served_is_paid(pools: Pools) -> None:
    dear = Charge(prompt_price=1, completion_price=1, elsewhere={second(pools): Prices(10, 10, 20)})
    pools.start(ScriptedEngine(AWAY))
    pools.drain(second(pools), ScriptedEngine(QUICK))
    await pools.put(pools.pool, charge=dear)
    (row,) = await pools.settled(1)
    assert (row.pool, row.cost) == (second(pools), 5 * 10 + 2 * 20)


async def test_what_never_reached_a_hosted_service_has_not_left(pools: Pools) -> None:
    pools.start(hosted([away(OSError("no route"))]))
    pools.drain(second(pools), ScriptedEngine(QUICK))
    order = await pools.put(pools.pool)
    (row,) = await pools.settled(1)
    assert (row.pool, row.hosted) == (second(pools), False)
    assert await _events(order) == [(COMPLETED, "openai/127.0.0.1")]


async def test_what_was_given_out_stays_where_it_is(pools: Pools) -> None:
    there = ScriptedEngine(QUICK)
    pools.start(ScriptedEngine([[chunk("Hel")], AnswerBroken()]))
    pools.drain(second(pools), there)
    await pools.put(pools.pool)
    (row,) = await pools.settled(1)
    assert (row.pool, row.error_code, row.completion_tokens) == (pools.pool, "engine_failed", 1)
    assert not there.asked


async def test_after_five_failures_nobody_asks_it_until_its_probe_is_answered(
    pools: Pools,
) -> None:
    failing = ScriptedEngine(*[INTERNAL_ERROR] * 5, QUICK)
    pools.start(failing)
    pools.drain(second(pools), ScriptedEngine(QUICK))
    rows = await pools.served(pools.pool, 7)
    assert {(row.pool, row.error_code) for row in rows} == {(second(pools), "")}
    assert len(failing.asked) == 5, "of seven that waited in its queue"
    assert breakers.phase(pools.pool) is Phase.OPEN
    assert route(a_caller(), pools.pool, REALTIME).name == second(pools)
    await _thirty_seconds_pass(pools)
    assert route(a_caller(), pools.pool, REALTIME).name == pools.pool, "the next one is its probe"
    rows = await pools.served(pools.pool, 3)
    assert {row.pool for row in rows} == {pools.pool}
    await until(partial(_all_is_well, pools))


async def _thirty_seconds_pass(pools: Pools) -> None:
    """For this engine alone."""
    kept = await pools.link.call("HGET", breakers.STATES_KEY, pools.pool)
    due = orjson.dumps({**orjson.loads(kept), "due": 1})
    await pools.link.call("HSET", breakers.STATES_KEY, pools.pool, due)
    await until(partial(_is_due, pools))


async def _is_due(pools: Pools) -> bool:
    return breakers.phase(pools.pool) is Phase.DUE


async def _all_is_well(pools: Pools) -> bool:
    return not breakers.has_trouble(pools.pool)


async def test_a_probe_that_fails_costs_its_request_nothing(pools: Pools) -> None:
    failing = ScriptedEngine(INTERNAL_ERROR)
    pools.start(failing)
    pools.drain(second(pools), ScriptedEngine(QUICK))
    await pools.served(pools.pool, 5)
    await _thirty_seconds_pass(pools)
    (row,) = await pools.served(pools.pool, 1)
    assert (row.pool, row.error_code) == (second(pools), "")
    assert len(failing.asked) == 6
    await until(partial(_is_open, pools.pool))


async def _is_open(engine: str) -> bool:
    return breakers.phase(engine) is Phase.OPEN


async def test_one_tenants_poison_leaves_the_engine_to_others(pools: Pools) -> None:
    """Each of its requests is answered with 500, whichever engine it reaches."""
    initech = await in_database(Tenant.objects.create)(name="initech")
    pools.start(ScriptedEngine(QUICK, INTERNAL_ERROR))
    pools.drain(second(pools), ScriptedEngine(QUICK))
    acme, pools.acme = pools.acme, initech
    await pools.served(pools.pool, 1)
    pools.acme = acme
    await pools.served(pools.pool, 8)
    assert breakers.phase(pools.pool) is Phase.CLOSED
    assert breakers.has_trouble(pools.pool)


async def test_a_hosted_service_that_is_full_and_does_not_say_for_how_long(pools: Pools) -> None:
    pools.start(ScriptedEngine([EngineFull(hosted=True)]))
    pools.drain(second(pools), ScriptedEngine(QUICK))
    rows = await pools.served(pools.pool, 5)
    assert {row.pool for row in rows} == {second(pools)}
    assert 20 < breakers.retry_after(pools.pool) <= 30


@pytest.mark.parametrize("how", [CLIENTS_MISTAKE, [AnswerTooLong()], NO_PATH], ids=str)
async def test_what_is_not_the_engines_fault_never_opens_it(pools: Pools, how: list[Step]) -> None:
    pools.start(ScriptedEngine(how))
    pools.drain(second(pools), ScriptedEngine(QUICK))
    await pools.served(pools.pool, 6)
    assert not breakers.has_trouble(pools.pool)


async def test_a_path_that_no_engine_has_is_told_and_leaves_other_paths_open(pools: Pools) -> None:
    pools.start(ScriptedEngine(*[NO_PATH] * 6, QUICK))
    pools.drain(second(pools), ScriptedEngine(NO_PATH))
    rows = await pools.served(pools.pool, 6)
    assert {(row.status, row.error_code) for row in rows} == {(404, "not_offered")}
    (row,) = await pools.served(pools.pool, 1)
    assert (row.pool, row.error_code) == (pools.pool, "")


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
def hosted_behind(pools: Pools, settings: Settings) -> str:
    """A pool of two engines here, and a hosted one for failover. Returns the hosted one's name."""
    there = f"{pools.pool}-there"
    here = {**ENGINE, "engines": [{"slots": 8}, {"slots": 8}]}
    far = {**ENGINE, "hosted": True, "condition": "failover"}
    settings.ENGINES = {pools.pool: {"pools": {pools.pool: here, there: far}}}
    engines.forget()
    return there


def start_here(pools: Pools, *started: ScriptedEngine) -> None:
    for engine, entry in zip(started, engines.pools()[pools.pool].engines, strict=True):
        engine.config = entry.config
        pools.start(engine)


async def test_while_another_engine_here_has_room_nothing_leaves_the_house(
    pools: Pools, hosted_behind: str
) -> None:
    full, far = Narrow(0, SLOW), ScriptedEngine(QUICK)
    start_here(pools, full, ScriptedEngine(SLOW, slots=8))
    pools.drain(hosted_behind, far)
    for _ in range(40):
        await pools.put(pools.pool)
    rows = await pools.settled(40)
    assert {(row.pool, row.error_code) for row in rows} == {(pools.pool, "")}
    assert not far.asked
    assert full.refused, "else nothing is shown"


async def test_an_engine_that_lets_in_nothing_is_left_alone(pools: Pools) -> None:
    full = Narrow(0, QUICK)
    pools.start(full)
    pools.drain(second(pools), ScriptedEngine(QUICK))
    rows = await pools.served(pools.pool, 5)
    assert {(row.pool, row.error_code) for row in rows} == {(second(pools), "")}
    await until(partial(_is_open, pools.pool))


async def test_an_engine_that_is_full_gets_what_it_lets_in_and_the_others_wait_here(
    pools: Pools, hosted_behind: str
) -> None:
    """It has fewer slots than its entry says; so has the other one of the pool."""
    narrow, far = [Narrow(2, LONG), Narrow(2, LONG)], ScriptedEngine(QUICK)
    for _ in range(16):
        await pools.put(pools.pool)
    start_here(pools, *narrow)
    pools.drain(hosted_behind, far)
    rows = await pools.settled(16)
    assert {(row.pool, row.error_code) for row in rows} == {(pools.pool, "")}
    assert not far.asked
    assert not any(breakers.has_trouble(engine.config.id) for engine in narrow)
    assert sum(engine.refused for engine in narrow) < 100, (
        "each asks now and then, not all the time"
    )


async def test_a_path_that_no_engine_here_has_does_not_leave_the_house(
    pools: Pools, hosted_behind: str
) -> None:
    far = ScriptedEngine(QUICK)
    start_here(pools, ScriptedEngine(NO_PATH), ScriptedEngine(NO_PATH))
    pools.drain(hosted_behind, far)
    (row,) = await pools.served(pools.pool, 1)
    assert (row.status, row.error_code, far.asked) == (404, "not_offered", [])


async def test_a_hosted_service_that_is_full_is_left_alone_for_as_long_as_it_asked(
    pools: Pools,
) -> None:
    full = EngineFull(hosted=True)
    full.asked_to_wait = 90
    pools.start(ScriptedEngine([full]))
    pools.drain(second(pools), ScriptedEngine(QUICK))
    rows = await pools.served(pools.pool, 5)
    assert {row.pool for row in rows} == {second(pools)}
    assert 80 < breakers.retry_after(pools.pool) <= 90


async def test_when_all_are_open_the_caller_hears_when_to_come_back(pools: Pools) -> None:
    pools.start(ScriptedEngine(INTERNAL_ERROR))
    pools.drain(second(pools), ScriptedEngine(INTERNAL_ERROR))
    await pools.served(pools.pool, 5)
    await until(partial(_is_open, pools.pool))
    await until(partial(_is_open, second(pools)))
    with pytest.raises(EnginesPaused) as refused:
        route(a_caller(), pools.pool, REALTIME)
    error = as_error(refused.value)
    assert (error.status, error.code) == (503, "engine_unavailable")
    assert 20 < error.retry_after <= 30
    (row,) = await pools.served(pools.pool, 1)
    assert (row.error_code, row.completion_tokens) == ("engine_unavailable", 0), "it waited in line"


async def test_another_engine_of_the_pool_takes_what_one_fails_at(
    pools: Pools, settings: Settings
) -> None:
    settings.ENGINES = {pools.pool: {**ENGINE, "engines": [{}, {}]}}
    engines.forget()
    broken = ScriptedEngine(INTERNAL_ERROR, name=f"{pools.pool}.1", slots=1)
    well = ScriptedEngine(QUICK, name=f"{pools.pool}.2", slots=1)
    for engine in (broken, well):
        engine.config = engines.pools()[pools.pool].engine(engine.config.name).config
        pools.start(engine)
    for _ in range(20):
        await pools.put(pools.pool)
    rows = await pools.settled(20)
    assert {row.error_code for row in rows} <= {"", "engine_failed"}
    assert len(broken.asked) <= 5, "then it rests"
    rows = await pools.served(pools.pool, 3)
    assert {row.error_code for row in rows} == {""}
    assert {one.detail["engine"] for one in await completed()} == {well.config.id}


@in_database
def completed() -> list[Event]:
    return list(Event.objects.filter(action="completion:completed", error_code=""))


@pytest.mark.parametrize("to", ["", "-second"])
async def test_what_somebody_else_has_taken_up_is_not_handed_over(pools: Pools, to: str) -> None:
    """Its worker was cut off while its engine failed, and came back after its lease."""
    order = await pools.put(pools.pool)
    ((item, ciphertext),) = await pools.queue.pop(1, "cut off")
    assert await pools.leases_run_out() == 1
    ((again, _),) = await pools.queue.pop(1, "another")
    await fail_over(pools.queue, engines.pools()[pools.pool + to], item, ciphertext)
    assert not await in_database(belongs_elsewhere)(order.id, pools.pool)
    for pool in (pools.pool, second(pools)):
        assert await pools.queue.of(pool).pop(1, "a third") == []
    known = await pools.link.call("HEXISTS", f"{prefix(pools.pool)}:orders", again.id)
    assert (known, await pools.queue.holds(again)) == (1, True)
