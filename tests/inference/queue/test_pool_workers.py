"""Several workers of one engine: each has its share of the slots, and is woken when needed."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from inference import engines
from inference.engine_entries import entries, share
from inference.models import Usage
from inference.queue import pool_workers
from inference.queue.pool_workers import PoolWorker, asleep, workers_of
from inference.worker import sibling_workers
from inference.worker.runner import Runner
from inference.worker.sibling_workers import SiblingWorkers
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.orders import chunk, usage
from tests.inference.running import Bench, in_database, until
from tests.inference.scripted import ScriptedEngine, Step

LASTING: list[Step] = [[chunk("x")], 0.3, [chunk(finish="stop"), usage(5, 1)]]
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 4}


def queues(workers: int, **fields: Any) -> list[str]:
    (entry,) = entries({"m": {**ENGINE, **fields}})
    return entry.queues(workers)


@pytest.mark.unit
def test_each_worker_has_a_queue_by_which_it_is_woken() -> None:
    assert queues(1) == ["engine.m"]
    assert queues(3) == ["engine.m", "engine2.m", "engine3.m"]


@pytest.mark.unit
def test_no_worker_is_without_a_slot() -> None:
    assert len(queues(3, slots=2)) == 2
    assert len(queues(3, slots=0)) == 1


@pytest.mark.unit
def test_a_llama_cpp_server_has_one_worker_that_knows_its_slots() -> None:
    assert queues(3, kind="llama_cpp") == ["engine.m"]


@pytest.mark.unit
@pytest.mark.parametrize(("slots", "shares"), [(4, [2, 1, 1]), (3, [1, 1, 1]), (64, [22, 21, 21])])
def test_all_shares_are_all_slots(slots: int, shares: list[int]) -> None:
    assert [share(slots, number, 3) for number in (1, 2, 3)] == shares


@pytest.fixture
def called(
    quick: None, pool: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> list[PoolWorker]:
    """Two workers for the engine; whom Celery would wake."""
    settings.ENGINES, settings.WORKERS_PER_ENGINE = {pool: ENGINE}, 2
    engines.forget()
    sent: list[PoolWorker] = []
    monkeypatch.setattr(pool_workers, "_publish", sent.append)
    return sent


@pytest.fixture
async def bench(called: list[PoolWorker], pool: str, acme: Tenant, link: RedisLink) -> Any:
    bench = Bench(pool, acme, link)
    yield bench
    for runner in bench.runners:
        runner.stop()
    for drain in bench.drains:
        await drain
    engines.forget()


def start(bench: Bench, number: int, engine: ScriptedEngine) -> Runner:
    return bench.start(engine, SiblingWorkers(bench.pool, bench.pool, number))


async def test_a_wake_up_goes_to_the_first_and_a_full_runner_calls_the_second(
    bench: Bench, called: list[PoolWorker]
) -> None:
    await bench.submit(8)
    pool_workers.wake_up(bench.pool)
    assert [worker.number for worker in called] == [1]
    engine = ScriptedEngine(LASTING)
    start(bench, 1, engine)
    await until(partial(_called, called, 2))
    assert called[1] == workers_of(bench.pool)[1]
    assert len(engine.asked) <= 4, "two at once, and no more than its share"
    start(bench, 2, engine)
    assert len(await bench.settled(8)) == 8


async def test_the_second_is_called_before_anything_has_ended(
    bench: Bench, called: list[PoolWorker]
) -> None:
    await bench.submit(3)
    engine = ScriptedEngine([[chunk("x")], 1.5, [chunk(finish="stop"), usage(5, 1)]])
    start(bench, 1, engine)
    await until(partial(_called, called, 1))
    assert await in_database(Usage.objects.count)() == 0
    assert len(engine.asked) == 2


async def _called(called: list[PoolWorker], times: int) -> bool:
    return len(called) >= times


async def test_only_those_that_sleep_are_woken_by_the_sweeper(
    bench: Bench, called: list[PoolWorker], link: RedisLink
) -> None:
    first, second = workers_of(bench.pool)
    sleeping = in_database(partial(asleep, [first, second]))
    assert await sleeping() == [first, second]
    colleague = SiblingWorkers(bench.pool, bench.pool, 2)
    await colleague.beat(link)
    assert await sleeping() == [first]
    await colleague.leave(link)
    assert await sleeping() == [first, second]


async def test_who_is_awake_is_not_called(
    bench: Bench, called: list[PoolWorker], link: RedisLink
) -> None:
    one, two = (SiblingWorkers(bench.pool, bench.pool, number) for number in (1, 2))
    await two.beat(link)
    await one.beat(link)
    one.call_one()
    await two.leave(link)
    await one.beat(link)
    one.call_one()
    one.call_one()
    await until(partial(_called, called, 1))
    assert called == [workers_of(bench.pool)[1]], "and not twice within a second"


async def test_one_host_at_a_time_has_the_place_of_a_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.submit(1)
    engine = ScriptedEngine(LASTING)
    first = start(bench, 1, engine)
    await bench.settled(1)
    monkeypatch.setattr(sibling_workers, "host_id", lambda: "another host")
    start(bench, 1, engine)
    await bench.drains[1]  # at once: somebody is there
    monkeypatch.undo()
    first.stop()
    await bench.drains[0]
    monkeypatch.setattr(sibling_workers, "host_id", lambda: "another host")
    start(bench, 1, engine)
    await bench.submit(1)
    assert len(await bench.settled(2)) == 2


def test_hosts_of_one_name_are_two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = []
    for boot in ("one", "another"):
        (tmp_path / boot).write_text(boot)
        monkeypatch.setattr(sibling_workers, "KERNEL", tmp_path / boot)
        found += [sibling_workers.host_id(), sibling_workers.host_id()]
    assert len(set(found)) == 2


async def test_who_was_away_for_long_gives_way_and_finishes(
    bench: Bench, link: RedisLink, called: list[PoolWorker]
) -> None:
    await bench.submit(1)
    first = start(
        bench, 1, ScriptedEngine([[chunk("x")], 1.5, [chunk(finish="stop"), usage(5, 1)]])
    )
    await until(lambda: _runs(first))
    await link.call("SET", workers_of(bench.pool)[0].place, "another host")
    await bench.drains[0]
    assert first.stopping
    assert len(await bench.settled(1)) == 1
    await link.call("DEL", workers_of(bench.pool)[0].place)


async def _runs(runner: Runner) -> bool:
    return bool(runner.requests.running)
