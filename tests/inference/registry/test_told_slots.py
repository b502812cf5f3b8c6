"""`slots = "auto"`: as many as the engine says, on every process, in every way to write it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.engine_entries import configured, entries
from inference.engines.base import EngineConfig
from inference.engines.kinds.openai import OpenAIEngine
from inference.intake.context import Context
from inference.models import Engine, Model, Pool
from inference.queue.pool_workers import workers_of
from inference.registry import slot_report
from inference.registry.following import load_once
from inference.registry.importing import import_file
from inference.registry.versions import proposed
from tests.inference.running import until

BY = "test"
URL = "http://127.0.0.1:9"
ENTRY: dict[str, Any] = {"kind": "sglang", "url": URL, "slots": "auto"}


@pytest.fixture
def engine(db: None) -> Engine:
    pool = Pool.add(Model.add("large", by=BY), "here", by=BY)
    return Engine.add(pool, "gpu-1", by=BY, **ENTRY)


def saying(name: str, slots: int, **config: Any) -> OpenAIEngine:
    fields: dict[str, Any] = {"slots": 16, "auto_slots": True, **config}
    found = OpenAIEngine(EngineConfig(name=name, kind="openai", url=URL, model="m", **fields))
    found.learn_slots(slots)
    return found


def told(name: str, slots: int, **config: Any) -> int:
    slot_report.write(slot_report.different([saying(name, slots, **config)]))
    return int(Engine.objects.get(name=name).slots)


def test_an_engine_has_the_usual_slots_until_it_has_said_how_many(engine: Engine) -> None:
    assert (engine.slots, engine.auto_slots) == (16, True)
    assert told("gpu-1", 0) == 16
    assert told("gpu-1", 48) == 48
    (changed,) = Event.objects.filter(action="engine:change")
    assert (changed.actor, changed.detail["slots"]) == ("system:engine", [16, 48])
    assert told("gpu-1", 48) == 48
    assert Event.objects.filter(action="engine:change").count() == 1


def test_what_the_operator_has_said_stays(engine: Engine) -> None:
    engine.change(by=BY, slots=8)
    assert told("gpu-1", 48) == 8
    assert told("gpu-1", 48, auto_slots=False) == 8
    engine.change(by=BY, slots="auto")
    assert (engine.slots, engine.auto_slots) == (8, True)
    assert told("gpu-1", 48) == 48


@pytest.mark.parametrize("nonsense", [-1, 0, 10**9, "48", None, [48]])
def test_what_is_no_number_of_slots_changes_nothing(nonsense: Any) -> None:
    assert saying("gpu-1", nonsense).reported_slots == 0


@pytest.mark.django_db
def test_the_file_again_keeps_what_the_engine_has_said() -> None:
    import_file({"large": ENTRY})
    assert told("large", 48) == 48
    events = Event.objects.count()
    import_file({"large": ENTRY})
    assert Engine.objects.get().slots == 48
    assert Event.objects.count() == events
    import_file({"large": {**ENTRY, "slots": 8}})
    found = Engine.objects.get()
    assert (found.slots, found.auto_slots) == (8, False)


def test_a_process_that_is_told_by_the_file_alone_has_the_usual_slots() -> None:
    found = entries({"large": {**ENTRY, "pools": {"here": {}, "there": {"engines": [{}]}}}})
    assert [(e.fields["slots"], e.fields["auto_slots"]) for e in found] == [(16, True)] * 2
    assert entries(configured(found)) == found


def test_a_new_version_follows_as_the_old_one_does(engine: Engine) -> None:
    told("gpu-1", 48)
    engine.refresh_from_db()
    cases: list[tuple[dict[str, Any], int, bool]] = [({}, 48, True), ({"slots": 8}, 8, False)]
    for given, slots, auto in cases:
        _, fields = proposed(engine, given)
        assert (fields["slots"], fields.get("auto_slots", False)) == (slots, auto)
    engine.change(by=BY, slots=8)
    assert proposed(engine, {"slots": "auto"})[1]["auto_slots"]
    assert "auto_slots" not in proposed(engine, {})[1]


def test_its_workers_share_what_it_says(engine: Engine, settings: Settings) -> None:
    settings.WORKERS_PER_ENGINE = 3
    try:
        for slots, shares in ((48, [16, 16, 16]), (2, [1, 1])):
            told("gpu-1", slots)
            load_once()
            assert [worker.share(slots) for worker in workers_of("here")] == shares
    finally:
        engines.forget()


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """It says that it has 48 slots."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        ranks = [{"effective_max_running_requests_per_dp": 24}] * 2
        return web.json_response({"internal_states": ranks})

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/v1"
    await runner.cleanup()


async def test_a_web_process_asks_and_writes_it_down(
    dsn: str, server: str, settings: Settings
) -> None:
    settings.DATABASE_URL = dsn
    await database_sync_to_async(import_file)({"large": {**ENTRY, "url": server}})
    await database_sync_to_async(load_once)()
    context = await Context.open()
    try:
        await until(_has_48)
    finally:
        await context.close()
        engines.forget()


@database_sync_to_async
def _has_48() -> bool:
    return bool(Engine.objects.get().slots == 48)
