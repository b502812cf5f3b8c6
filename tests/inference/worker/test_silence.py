"""An engine that says nothing: a slow one is waited for, a frozen one loses its requests."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inference.engine_progress import EngineProgress
from inference.engines.base import EngineFailed
from inference.engines.transport.session import EngineSession
from inference.worker import stalls
from inference.worker.run.run import Run
from inference.worker.stalls import EngineStalled, RequestStalled, SilenceWatch
from tests.inference.scripted import NO_SESSION, ScriptedEngine

pytestmark = pytest.mark.unit


class Waiting:
    """A request of which nothing comes."""

    cancelled, failure, works = False, None, True

    def __init__(self, *, is_streamed: bool = True, prompt: int = 0, most: int = 1000) -> None:
        self.heard = 0
        self.handler = self.signals = self
        self.waits_for_engine = True
        self.failed: EngineFailed | None = None
        self.times_failed = 0
        self.is_streamed = is_streamed
        charge = SimpleNamespace(completion_tokens=most)
        self.order = SimpleNamespace(body=b"x" * prompt, charge=charge)

    @property
    def lost(self) -> EngineFailed | None:
        return self.failed

    def lose_engine(self, failure: EngineFailed) -> None:
        self.failed = failure
        self.times_failed += 1


class Quiet(ScriptedEngine):
    """It answers for its health while `well`, and counts what it `computes`."""

    def __init__(self, silence_s: float = 60.0, **limits: Any) -> None:
        super().__init__([])
        self.config = replace(self.config, silence_s=silence_s, **limits)
        self.well, self.looks = True, 0
        self.figures: bool | None = None  # whether it computes; None: it has no figures
        self._done = 0.0

    async def progress(self, session: EngineSession) -> EngineProgress | None:
        if self.figures is None:
            return None
        self._done += self.figures
        return EngineProgress(True, self._done)

    async def answers(self, session: EngineSession) -> bool:
        self.looks += 1
        if not self.well:
            await asyncio.sleep(60)
        return True


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVERY_S", "SILENT_S"):
        monkeypatch.setattr(stalls, name, 0.01)
    monkeypatch.setattr(Quiet, "alive_within_s", 0.01)
    for name in ("ASK_EVERY_S", "ASK_WITHIN_S"):
        monkeypatch.setattr(stalls, name, 0.01)


@contextmanager
def watched(engine: Quiet, **running: Any) -> Iterator[dict[str, Any]]:
    """`running` may change meanwhile."""
    watch = SilenceWatch(engine, NO_SESSION)
    task = asyncio.create_task(watch.keep_watch(cast(dict[str, Run], running)))
    yield running
    task.cancel()


async def looked_at(engine: Quiet, times: int) -> None:
    wanted = engine.looks + times
    while engine.looks < wanted:
        await asyncio.sleep(0.01)


async def test_one_that_is_too_slow_is_waited_for() -> None:
    """Until the deadline of what runs there: it answers for its health."""
    engine, request = Quiet(silence_s=0.01), Waiting()
    with watched(engine, one=request):
        await looked_at(engine, 10)
    assert request.failed is None


async def test_one_that_is_frozen_loses_what_it_says_nothing_of() -> None:
    engine, silent = Quiet(silence_s=0.01), Waiting()
    engine.well = False
    with watched(engine, one=silent):
        while silent.failed is None:
            await asyncio.sleep(0.01)
    assert silent.failed.counts
    assert not silent.failed.may_be_the_requests
    assert engine.looks >= stalls.LOOKS


async def test_one_that_stands_still_for_less_than_it_may_loses_nothing() -> None:
    engine, request = Quiet(silence_s=60), Waiting()
    with watched(engine, one=request):
        engine.well = False
        await looked_at(engine, 10)
        engine.well = True
        await looked_at(engine, 2)
    assert request.failed is None


async def test_while_something_comes_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "SILENT_S", 5.0)
    engine, request = Quiet(silence_s=0.01), Waiting()
    with watched(engine, one=request):
        for _ in range(10):
            request.heard += 1
            await asyncio.sleep(0.01)
    assert engine.looks == 0


async def test_a_look_in_vain_of_another_day_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, first, second = Quiet(silence_s=0.05), Waiting(), Waiting()
    engine.well = False
    with watched(engine, one=first) as running:
        await looked_at(engine, 1)
        del running["one"]
        looks = engine.looks
        await asyncio.sleep(0.3)  # nothing runs, and the time for which it may be silent goes by
        assert engine.looks - looks <= 1
        running["two"] = second
        await looked_at(engine, 1)
        engine.well = True
        await looked_at(engine, 2)
    assert (first.failed, second.failed) == (None, None)


# It answers for its health --------------------------------------------------------------------
async def failed(*requests: Waiting) -> None:
    async with asyncio.timeout(5):
        while not all(request.failed for request in requests):
            await asyncio.sleep(0.01)


async def test_an_engine_that_computes_nothing_loses_all_that_waits() -> None:
    engine, stream, whole = Quiet(stall_s=0.2), Waiting(), Waiting(is_streamed=False)
    engine.figures = False
    with watched(engine, one=stream, two=whole):
        await failed(stream, whole)
    assert isinstance(whole.failed, EngineStalled)
    assert whole.failed.counts
    assert whole.failed.opens_breaker


async def test_what_is_lost_is_told_so_once() -> None:
    """While it ends, it has a connection to close and may have an answer to settle."""
    engine, request = Quiet(stall_s=0.2), Waiting()
    engine.figures = False
    with watched(engine, one=request):
        await failed(request)
        await asyncio.sleep(0.2)
    assert request.times_failed == 1


async def test_an_engine_that_cannot_even_say_its_figures_computes_nothing() -> None:
    class Stuck(Quiet):
        async def progress(self, session: EngineSession) -> EngineProgress | None:
            await asyncio.sleep(60)
            raise AssertionError

    engine, request = Stuck(stall_s=0.2), Waiting()
    with watched(engine, one=request):
        await failed(request)
    assert isinstance(request.failed, EngineStalled)


async def test_an_engine_that_reads_a_long_prompt_is_waited_for() -> None:
    engine, request = Quiet(stall_s=0.1), Waiting(is_streamed=False)
    engine.figures = True
    with watched(engine, one=request):
        await looked_at(engine, 30)
    assert request.failed is None


async def test_requests_that_are_cancelled_do_not_hide_that_nothing_is_done() -> None:
    engine, request = Quiet(stall_s=0.3), Waiting()
    engine.figures = False
    with watched(engine, one=request) as running:
        for _ in range(200):
            running["other"] = other = Waiting()
            await asyncio.sleep(0.02)
            other.cancelled = True
            if request.failed:
                break
    assert isinstance(request.failed, EngineStalled)


async def test_a_stream_without_a_first_event_fails_alone() -> None:
    engine, stream, whole = Quiet(first_token_s=0.2), Waiting(), Waiting(is_streamed=False)
    with watched(engine, one=stream, two=whole):
        await failed(stream)
        await looked_at(engine, 10)
    assert isinstance(stream.failed, RequestStalled)
    assert stream.failed.counts
    assert stream.failed.may_be_the_requests
    assert whole.failed is None, "a whole answer says nothing before its end"


async def test_a_whole_answer_has_a_second_more_for_each_token_that_it_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalls, "WRITES", 100.0)
    engine = Quiet(first_token_s=0.1)
    short, long = (Waiting(is_streamed=False, most=tokens) for tokens in (20, 6000))
    unlimited = Waiting(is_streamed=False, most=0)
    with watched(engine, one=short, two=long, three=unlimited):
        await failed(short)
        await looked_at(engine, 5)
    assert isinstance(short.failed, RequestStalled)
    assert (long.failed, unlimited.failed) == (None, None)


async def test_a_stream_that_stops_in_the_middle_fails() -> None:
    engine, stream = Quiet(first_token_s=60, between_tokens_s=0.2), Waiting()
    stream.heard = 3
    with watched(engine, one=stream):
        await failed(stream)
    assert isinstance(stream.failed, RequestStalled)


async def test_a_long_prompt_has_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "READS", 1000)
    engine, short, long = Quiet(first_token_s=0.2), Waiting(), Waiting(prompt=60_000)
    with watched(engine, one=short, two=long):
        await failed(short)
    assert long.failed is None


async def test_an_engine_may_stand_still_for_longer_while_it_reads_a_long_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalls, "READS_STANDING_STILL", 1000)
    reading, stuck = Quiet(stall_s=0.2), Quiet(stall_s=0.2)
    reading.figures = stuck.figures = False
    long, short = Waiting(prompt=60_000), Waiting()
    with watched(reading, one=long), watched(stuck, one=short):
        await failed(short)
    assert long.failed is None


async def test_a_stream_may_wait_twice_as_long_while_the_engine_gets_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a queue of the engine's own, say; not for ever."""
    monkeypatch.setattr(stalls, "ASK_WITHIN_S", 5.0)  # so long it counts as getting on
    engine, stream = Quiet(first_token_s=0.5), Waiting()
    engine.figures = True
    began = asyncio.get_running_loop().time()
    with watched(engine, one=stream):
        await failed(stream)
    assert asyncio.get_running_loop().time() - began >= 1.0


async def test_a_hosted_service_may_think_for_as_long_as_it_likes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalls, "EVERY_HOSTED_S", 0.01)
    monkeypatch.setattr(stalls, "FIRST_TOKEN_S", 0.01)
    theirs, ours, unlimited, limited = Quiet(), Quiet(), Waiting(), Waiting()
    theirs.config = replace(theirs.config, hosted=True)
    with watched(theirs, one=unlimited), watched(ours, one=limited):
        await failed(limited)
        await looked_at(theirs, 10)
    assert unlimited.failed is None
