"""A model with two pools: each is drained by a runner of its own, and one hands on to the other."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import orjson
import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.erasure import erasers
from audit.keys.keyring import keyring
from audit.models import Event
from inference import engines
from inference.engine_entries import EngineEntry
from inference.engines import pools_of
from inference.engines.base import EngineAway
from inference.engines.health import reachability
from inference.intake.errors import OutOfService
from inference.intake.route import open_to, route
from inference.models import Completion, State, Usage
from inference.order import Order
from inference.queue.fair_queue import FairQueue, prefix
from inference.record import request_rows, sql_statements
from inference.worker import runner
from inference.worker.handlers import patient_asking
from inference.worker.recovery import restoring
from inference.worker.runner import Runner
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.callers import REALTIME, a_caller
from tests.inference.conftest import forget_pool
from tests.inference.orders import an_order, chunk, usage
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine, Step

in_database = database_sync_to_async
QUICK: list[Step] = [[chunk("Hel"), chunk("lo")], [chunk(finish="stop"), usage(5, 2)]]
FIELDS: dict[str, Any] = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
AWAY: list[Step] = [EngineAway("the engine does not answer")]


PREPARED_ELSEWHERE = b'{"model":"gone","messages":[],"user":"alice","cache_prompt":true}'


class TwoPools(Bench):
    """`pool` is the first one, `second` the other; the model is named as the first."""

    second = ""

    async def put(self, **changes: Any) -> Order:
        """On record and in the first pool's queue, as intake does it."""
        order = an_order(tenant_id=self.acme.id, model=self.pool, pool=self.pool, **changes)
        cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        ciphertext = request_rows.encrypted_order(order, cipher)
        await in_database(self._on_record)(order, ciphertext)
        await self.queue.enqueue(order.item, ciphertext)
        return order

    def _on_record(self, order: Order, ciphertext: bytes) -> None:
        with connection.cursor() as cursor:
            row = request_rows.received_row(order, ciphertext)
            cursor.execute(sql_statements.RECEIVED, [orjson.dumps([row]).decode()])

    def start_second(self, engine: ScriptedEngine) -> Runner:
        return self.drain(self.second, engine)


@pytest.fixture
async def bench(
    quick: None, pool: str, acme: Tenant, link: RedisLink, settings: Settings, monkeypatch: Any
) -> AsyncIterator[TwoPools]:
    monkeypatch.setattr(patient_asking, "ELSEWHERE_AFTER_S", 0.05)
    monkeypatch.setattr(patient_asking, "ENGINE_PATIENCE_S", 0.3)
    monkeypatch.setattr(runner, "LINGER_S", 30.0)  # on a slow machine the second one would be gone
    second = f"{pool}-second"
    settings.ENGINES = {pool: {"pools": {pool: FIELDS, second: {**FIELDS, "hosted": True}}}}
    engines.forget()
    bench = TwoPools(pool, acme, link)
    bench.second = second
    yield bench
    for each in bench.runners:
        each.stop()
    for drain in bench.drains:
        await drain
    await forget_pool(link, second)
    engines.forget()


async def test_what_the_first_cannot_begin_the_second_finishes_with_exact_books(
    bench: TwoPools,
) -> None:
    order = await bench.put()
    away, there = ScriptedEngine(AWAY), ScriptedEngine(QUICK)
    bench.start(away)
    bench.start_second(there)
    (row,) = await bench.settled(1)
    assert (row.completion_id, row.error_code, row.attempts) == (order.id, "", 2)
    assert (row.model, row.pool) == (bench.pool, bench.second)
    assert (row.prompt_tokens, row.completion_tokens) == (5, 2)
    completion = await in_database(Completion.objects.get)(pk=order.id)
    assert (completion.state, completion.pool) == (State.DONE, bench.second)
    events = await in_database(Event.objects.filter(request_id=order.id).count)()
    assert events == 2, "received once, completed once"
    assert len(there.asked) == 1
    await _nothing_is_left(bench, order)


async def test_what_leaves_the_house_is_marked(bench: TwoPools) -> None:
    """In usage, and in the audit event by the service's host."""
    here, gone = await bench.put(local_only=True), await bench.put()
    hosted = ScriptedEngine(QUICK)
    hosted.config = pools_of(bench.pool)[1].engines[0].config
    bench.start(ScriptedEngine(AWAY))
    bench.start_second(hosted)
    rows = {row.completion_id: row for row in await bench.settled(2)}
    assert (rows[gone.id].pool, rows[gone.id].hosted) == (bench.second, True)
    assert (rows[here.id].pool, rows[here.id].hosted) == (bench.pool, False)
    event = await in_database(Event.objects.get)(request_id=gone.id, action="completion:completed")
    assert event.upstream == "openai 127.0.0.1"


async def _nothing_is_left(bench: TwoPools, order: Order) -> None:
    """Neither queue knows it, and each tenant's counter is what it really took."""
    for name, took in ((bench.pool, 0), (bench.second, 5 + 2 * 2)):
        await until(partial(_forgotten, bench, name, order))
        counters = f"{prefix(name)}:realtime:counters"
        counter = await bench.link.call("HGET", counters, str(order.tenant_id))
        assert float(counter) == took, name


async def _forgotten(bench: TwoPools, pool: str, order: Order) -> bool:
    kept = await bench.link.call("HEXISTS", f"{prefix(pool)}:orders", str(order.id))
    leases = await bench.link.call("ZCARD", f"{prefix(pool)}:leases")
    return not (kept or leases)


async def test_where_no_pool_can_begin_it_fails_once(bench: TwoPools) -> None:
    order = await bench.put()
    bench.start(ScriptedEngine(AWAY))
    bench.start_second(ScriptedEngine(AWAY))
    (row,) = await bench.settled(1)
    assert (row.completion_id, row.error_code) == (order.id, "engine_unavailable")
    assert (row.pool, row.attempts) == (bench.second, 2)


def draining(bench: TwoPools, *names: str) -> None:
    pools = engines.pools().values()
    found = [EngineEntry(p.model, p.name, p.name, FIELDS, p.name in names) for p in pools]
    engines.put_in_force(found)


async def test_what_fails_where_an_engine_drains_goes_on_elsewhere(bench: TwoPools) -> None:
    draining(bench, bench.pool)
    await bench.put()
    bench.start(ScriptedEngine(AWAY))
    bench.start_second(ScriptedEngine(QUICK))
    (row,) = await bench.settled(1)
    assert (row.pool, row.error_code, row.attempts) == (bench.second, "", 2)


async def test_nothing_is_handed_to_a_pool_that_takes_nothing(bench: TwoPools) -> None:
    draining(bench, bench.pool, bench.second)
    await bench.put()
    bench.start(ScriptedEngine(AWAY))
    (row,) = await bench.settled(1)
    assert (row.pool, row.error_code) == (bench.pool, "engine_unavailable")


async def test_a_local_only_request_is_never_handed_to_a_hosted_pool(bench: TwoPools) -> None:
    order = await bench.put(local_only=True)
    bench.start(ScriptedEngine(AWAY))
    there = ScriptedEngine(QUICK)
    bench.start_second(there)
    (row,) = await bench.settled(1)
    assert (row.completion_id, row.error_code) == (order.id, "engine_unavailable")
    assert row.pool == bench.pool
    assert not there.asked


async def test_a_hosted_engine_refuses_what_must_stay_here(bench: TwoPools) -> None:
    """Whatever brought it there: a queue that was written to, an old route."""
    order = await bench.put(local_only=True)
    hosted = ScriptedEngine(QUICK)
    hosted.config = pools_of(bench.pool)[1].engines[0].config
    bench.start(hosted)
    (row,) = await bench.settled(1)
    assert (row.completion_id, row.error_code) == (order.id, "local_only")
    assert not hosted.asked


async def test_what_must_stay_here_leaves_a_pool_that_has_become_hosted(bench: TwoPools) -> None:
    near, far = (EngineEntry(bench.pool, name, name, FIELDS) for name in (bench.second, bench.pool))
    engines.put_in_force([replace(far, fields={**FIELDS, "hosted": True}), near])
    await bench.put(local_only=True)
    there, here = ScriptedEngine(QUICK), ScriptedEngine(QUICK)
    there.config = engines.pools()[bench.pool].engines[0].config
    bench.start(there)
    bench.start_second(here)
    (row,) = await bench.settled(1)
    assert (row.pool, row.error_code) == (bench.second, "")
    assert not there.asked


async def test_killed_between_the_queues_it_is_found_in_the_pool_on_record(
    bench: TwoPools, link: RedisLink
) -> None:
    order = await bench.put()
    ((item, _),) = await bench.queue.pop(1, "runner-that-dies")
    await bench.queue.end_lease(item, 0)
    earlier = timezone.now() - 2 * restoring.YOUNG
    moved = Completion.objects.filter(pk=order.id).update
    await in_database(moved)(pool=bench.second, created_at=earlier)
    await in_database(restoring.restore)(bench.pool)
    assert await bench.queue.pop(1, "another") == []
    await in_database(restoring.restore)(bench.second)
    ((found, _),) = await FairQueue(link, bench.second).pop(1, "another")
    assert found.id == str(order.id)


async def test_killed_before_it_left_its_queue_only_the_pool_on_record_runs_it(
    bench: TwoPools, link: RedisLink
) -> None:
    order = await bench.put()
    ((item, ciphertext),) = await bench.queue.pop(1, "runner-that-dies")
    move = Completion.objects.filter(pk=order.id).update
    await in_database(move)(pool=bench.second)
    again = msgspec.structs.replace(item, attempt=2)
    await FairQueue(link, bench.second).enqueue(again, ciphertext)
    assert await bench.leases_run_out() == 1  # it never left the first one
    near, far = ScriptedEngine(QUICK), ScriptedEngine(QUICK)
    bench.start(near)
    bench.start_second(far)
    (row,) = await bench.settled(1)
    assert (row.pool, row.error_code) == (bench.second, "")
    await _nothing_is_left(bench, order)
    assert (len(near.asked), len(far.asked)) == (0, 1)


async def test_an_erasure_tells_the_runner_of_the_pool_on_record(bench: TwoPools) -> None:
    order = await bench.put()
    endless: list[Step] = [[chunk("Hel")], 60.0]
    bench.start(ScriptedEngine(AWAY))
    there = ScriptedEngine(endless)
    bench.start_second(there)
    await until(partial(_speaks, there))
    requests = erasers.find("requests")
    assert requests
    found = await in_database(requests.erase)(order.tenant_id, order.subject_id)
    assert found == {"cancelled": 0}, "its runner ends it"
    (row,) = await bench.settled(1)
    assert (row.completion_id, row.finish_reason) == (order.id, "cancelled")


async def _speaks(engine: ScriptedEngine) -> bool:
    return engine.speaking > 0


async def test_a_body_that_was_prepared_for_an_engine_that_has_gone_is_prepared_anew(
    bench: TwoPools,
) -> None:
    """Or another service would see fields that are not for it, under a name that it has not."""
    await bench.put(body=PREPARED_ELSEWHERE, body_form="llama_cpp gone")
    there = ScriptedEngine(QUICK)
    there.config = pools_of(bench.pool)[0].engines[0].config
    bench.start(there)
    await bench.settled(1)
    assert orjson.loads(there.asked[0].body) == {
        "model": bench.pool,
        "messages": [],
        "user": "alice",
    }


async def test_the_way_goes_to_the_first_pool_that_answers(
    bench: TwoPools, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert route(a_caller(), bench.pool, REALTIME).name == bench.pool
    monkeypatch.setitem(reachability._down, bench.pool, timezone.now())
    assert route(a_caller(), bench.pool, REALTIME).name == bench.second
    assert route(a_caller(local_only_by="tenant"), bench.pool, REALTIME).name == bench.pool
    found = open_to(a_caller(local_only_by="tenant"), bench.pool)
    assert [pool.name for pool in found] == [bench.pool]
    monkeypatch.setitem(reachability._down, bench.second, timezone.now())
    assert route(a_caller(), bench.pool, REALTIME).name == bench.pool, "it waits for the first"


async def test_a_model_that_has_gone_since_is_no_crash(bench: TwoPools) -> None:
    with pytest.raises(OutOfService):
        route(a_caller(), "gone", REALTIME)


async def test_two_engines_of_one_pool_share_its_queue(bench: TwoPools) -> None:
    orders = [await bench.put() for _ in range(8)]
    lasting: list[Step] = [[chunk("x")], 0.2, [chunk(finish="stop"), usage(5, 1)]]
    two = [ScriptedEngine(lasting, slots=2) for _ in range(2)]
    for engine in two:
        bench.start(engine)
    rows = await bench.settled(8)
    assert {row.completion_id for row in rows} == {order.id for order in orders}
    assert all(len(engine.asked) >= 2 for engine in two)
    assert await in_database(Usage.objects.count)() == 8
