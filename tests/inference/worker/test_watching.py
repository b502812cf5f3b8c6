"""What pages say of an engine: seen by its workers, added up, lost with nothing but itself."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from inference.engines.base import EngineFailed, EnginePaused, WorkerLost
from inference.queue.engine_window import (
    EngineFigures,
    EngineWindow,
    Failure,
    engine_figures,
    figures,
    key,
    packed,
    unpacked,
)
from inference.worker import engine_metrics, runner
from inference.worker.engine_metrics import EngineWatch
from inference.worker.handlers import patient_asking
from tests.inference.orders import an_order, chunk, usage
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine, Step, Traces, generation

NOW = 1_800_000_000.0
HELLO: list[Step] = [[chunk("Hel"), chunk("lo"), chunk(finish="stop"), usage(5, 7)]]


def seen(*windows: EngineWindow, now: float = NOW) -> EngineFigures:
    return figures(unpacked(map(packed, windows)), now)


# The window -------------------------------------------------------------------------------------
@pytest.mark.unit
def test_windows_of_several_workers_are_added_up() -> None:
    one, two = EngineWindow(), EngineWindow()
    for n in range(60):
        one.came(10, NOW - n)
        two.came(20, NOW - n)
    for ms in (10, 20, 30):
        one.ended(NOW, ms, ms * 10)
    two.ended(NOW - 200, 1000, None)
    one.failed(Failure(NOW - 9, 502, "engine_failed", "it answered 500"))
    two.failed(Failure(NOW - 8, 503, "engine_unavailable", "no connection: timed out"))
    found = seen(one, two)
    assert found.tokens_per_second == pytest.approx(30, rel=0.1)
    assert found.tokens_per_second_15m == pytest.approx(60 * 30 / 900, rel=0.1)
    assert (found.requests, found.errors) == (4, 2)
    assert found.ttft_p50 == pytest.approx(200, rel=0.2)
    assert found.queue_p95 == pytest.approx(1000, rel=0.2)
    assert found.failure
    assert found.failure.code == "engine_unavailable", "the last one"


@pytest.mark.unit
def test_what_is_old_does_not_count_but_for_the_last_failure() -> None:
    window = EngineWindow()
    window.came(600, NOW - 120)
    window.ended(NOW - 400, 5, 5)
    window.failed(Failure(NOW - 400, 502, "engine_failed", "it answered 500"))
    found = seen(window)
    assert (found.requests, found.errors, found.ttft_p50, found.tokens_per_second) == (
        0,
        0,
        None,
        0,
    )
    assert found.tokens_per_second_15m == pytest.approx(600 / 900, rel=0.1)
    assert found.failure
    assert seen(window, now=NOW + 1000).tokens_per_second_15m == 0
    assert seen(window, now=NOW + 23 * 3600).failure
    window.came(1, NOW + 24 * 3600)  # its worker goes on
    assert seen(window, now=NOW + 24 * 3600).failure is None


@pytest.mark.unit
def test_its_size_is_bounded() -> None:
    window = EngineWindow()
    for second in range(0, 7200, 5):
        window.came(1, NOW + second)
        for ms in (1, 10**9, second):
            window.ended(NOW + second, ms, ms)
    assert len(window.tokens) <= 91
    assert len(window.minutes) <= 6
    assert len(packed(window)) < 4096


@pytest.mark.unit
def test_what_another_version_wrote_is_left_out() -> None:
    assert unpacked([b"\xff\x00", b"[]", packed(EngineWindow())]) == [EngineWindow()]


# What a runner sees -----------------------------------------------------------------------------
@pytest.fixture
def watch() -> EngineWatch:
    engine_metrics._windows.pop(key("here", "gpu-1"), None)
    return EngineWatch("here", "gpu-1", "host:1")


async def ended(watch: EngineWatch, *turn: Step, cancelled: bool = False) -> EngineFigures:
    handler = generation(ScriptedEngine(list(turn)), an_order())
    if cancelled:
        handler.cancel()
    watch.over(handler, await Traces().run(handler))
    return seen(watch._own, now=time.time())


@pytest.mark.unit
async def test_tokens_count_as_they_come_and_are_put_right_in_the_end(watch: EngineWatch) -> None:
    handler = generation(ScriptedEngine(HELLO), an_order())
    handler.output.events = [b"data: x"] * 5
    watch.look([handler])
    watch.look([handler])
    assert sum(watch._own.tokens.values()) == 5
    handler.output.events = []
    outcome = await Traces().run(handler)
    watch.over(handler, outcome)
    assert sum(watch._own.tokens.values()) == 7, "as the engine says"
    watch.look([handler])  # it may stay among those that run for a moment
    assert sum(watch._own.tokens.values()) == 7


@pytest.mark.unit
async def test_the_engines_failures_are_told_and_nobody_elses(
    watch: EngineWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_asking, "ENGINE_PATIENCE_S", 0)
    failed = EngineFailed(502, "engine_failed", "said: my prompt")
    failed.cause = "it answered 500"
    found = await ended(watch, failed)
    assert found.failure
    assert (found.failure.status, found.failure.code) == (502, "engine_failed")
    assert found.failure.reason == "it answered 500"
    assert b"prompt" not in packed(watch._own), "an engine's words may quote one"
    for other in (EngineFailed(400, "invalid_request", "no"), WorkerLost(502, "x")):
        found = await ended(watch, other)
        assert (found.errors, found.failure and found.failure.code) == (1, "engine_failed")
    asked = found.requests
    assert (await ended(watch, EnginePaused(30))).errors == 1
    found = await ended(watch, *HELLO, cancelled=True)
    assert (found.requests, found.errors) == (asked + 2, 1)


# Through Redis ----------------------------------------------------------------------------------
async def told(bench: Bench) -> EngineFigures | None:
    ask = sync_to_async(engine_figures)
    found = (await ask([(bench.pool, bench.pool)]))[bench.pool]
    return found if found.requests else None


async def test_pages_hear_of_it_and_a_worker_that_starts_again_goes_on_from_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_metrics, "EVERY_S", 0)
    await bench.submit(3)
    bench.start(ScriptedEngine(HELLO, slots=4))
    await bench.settled(3)

    async def all_three() -> Any:
        found = await told(bench)
        return found and found.requests == 3 and found

    found = await until(all_three)
    assert found.tokens_per_second == pytest.approx(21 / 60, rel=0.2)
    assert found.ttft_p95 is not None
    assert (found.errors, found.failure) == (0, None)
    await bench.drains[0]
    engine_metrics._windows.clear()  # as another process
    pods = EngineWindow(), EngineWindow()
    pods[0].came(9, time.time() - 25 * 3600)
    pods[1].came(9, time.time() - 23 * 3600)
    for n, pod in enumerate(pods):
        await bench.link.call("HSET", key(bench.pool, bench.pool), f"pod-{n}:1", packed(pod))
    await bench.submit(1)
    broken: list[Step] = [EngineFailed(502, "engine_failed", "no")]
    engine = ScriptedEngine(broken)
    engine.config = replace(engine.config, id=bench.pool)
    bench.start(engine)
    await bench.settled(4)

    async def all_four() -> Any:
        found = await told(bench)
        return found and found.requests == 4 and found

    found = await until(all_four)
    assert (found.errors, found.failure.code) == (1, "engine_failed")
    names = await bench.link.call("HKEYS", key(bench.pool, bench.pool))
    assert len(names) == 2, "one worker, whose name stays"
    assert b"pod-1:1" in names, "the other one has long gone"


async def test_a_redis_that_lost_it_hears_all_of_it_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_metrics, "EVERY_S", 0)
    monkeypatch.setattr(runner, "LINGER_S", 30)
    await bench.submit(2)
    bench.start(ScriptedEngine(HELLO, slots=1))
    await bench.settled(2)
    await until(lambda: told(bench))
    await bench.link.call("DEL", key(bench.pool, bench.pool))
    await bench.submit(1)
    await bench.settled(3)

    async def all_of_it() -> bool:
        found = await told(bench)
        return found is not None and found.requests == 3

    await asyncio.wait_for(until(all_of_it), 30)
