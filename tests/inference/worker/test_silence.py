"""An engine that says nothing: a slow one is waited for, a frozen one loses its requests."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from inference.engines.base import EngineFailed
from inference.engines.session import EngineSession
from inference.worker import silence
from inference.worker.handlers.base import Handler
from inference.worker.silence import SilenceWatch
from tests.inference.scripted import NO_SESSION, ScriptedEngine

pytestmark = pytest.mark.unit


class Waiting:
    """A request of which nothing comes."""

    def __init__(self) -> None:
        self.sent = 0
        self.failed: EngineFailed | None = None

    def engine_lost(self, failure: EngineFailed) -> None:
        self.failed = failure


class Quiet(ScriptedEngine):
    """It answers for its health while `well`."""

    def __init__(self, silence_s: float) -> None:
        super().__init__([])
        self.config = replace(self.config, silence_s=silence_s)
        self.well, self.looks = True, 0

    async def answers(self, session: EngineSession) -> bool:
        self.looks += 1
        if not self.well:
            await asyncio.sleep(60)
        return True


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVERY_S", "SILENT_S"):
        monkeypatch.setattr(silence, name, 0.01)
    monkeypatch.setattr(Quiet, "gets_on_within_s", 0.01)


@contextmanager
def watched(engine: Quiet, **running: Any) -> Iterator[None]:
    watch = SilenceWatch(engine, NO_SESSION)
    task = asyncio.create_task(watch.keep_watch(cast(dict[str, Handler], running)))
    yield
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
    assert engine.looks >= silence.LOOKS


async def test_one_that_stands_still_for_less_than_it_may_loses_nothing() -> None:
    engine, request = Quiet(silence_s=60), Waiting()
    with watched(engine, one=request):
        engine.well = False
        await looked_at(engine, 10)
        engine.well = True
        await looked_at(engine, 2)
    assert request.failed is None


async def test_while_something_comes_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENT_S", 5.0)
    engine, request = Quiet(silence_s=0.01), Waiting()
    with watched(engine, one=request):
        for _ in range(10):
            request.sent += 1
            await asyncio.sleep(0.01)
    assert engine.looks == 0
