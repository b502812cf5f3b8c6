"""An engine that drips: bytes come for ever, and none of them makes an event.

Its connection is alive and it answers for its health. Only events count as progress, so such a
request ends at the limits of a first token, or of the silence between two.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inference.engines.base import EngineConfig
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.transport.session import EngineSession
from inference.worker import stalls
from inference.worker.stalls import SilenceWatch
from tests.inference.orders import an_order, chunk
from tests.inference.scripted import Traces, generation

pytestmark = pytest.mark.unit
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
HEALTH = b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"data":[]}'
DRIPS = {
    "comments": b": still here\n\n",
    "single bytes": b"x",
    "line ends": b"\r\n",
    "fields that are no data": b"retry: 1000\n\n",
}


class Dripping:
    """A server that begins a stream with `first`, and then drips."""

    def __init__(self, drip: bytes, first: bytes) -> None:
        self._drip, self._first = drip, first
        self.drips = 0
        self.closed = asyncio.Event()  # by the platform

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"POST"):
                    await self._stream(writer)
                    self.closed.set()
                    return
                writer.write(HEALTH)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + self._first)
        while not writer.is_closing():
            await asyncio.sleep(0.02)
            writer.write(self._drip)
            self.drips += 1


@asynccontextmanager
async def dripping(drip: bytes, first: bytes) -> AsyncIterator[tuple[Dripping, str]]:
    engine = Dripping(drip, first)
    server = await asyncio.start_server(engine.take, "127.0.0.1", 0)
    yield engine, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()


async def watched_to_its_end(engine: OpenAIEngine) -> Traces:
    """A stream of this engine, under the watch of its runner."""
    traces, run = Traces(), generation(engine, an_order())
    async with EngineSession() as session:
        watch = SilenceWatch(engine, session)
        watching = asyncio.create_task(watch.keep_watch({"one": run}))
        work = run.work_and_settle(session, traces.writer, traces.ledger, traces.cipher)
        await asyncio.wait_for(work, 20)
        watching.cancel()
    return traces


@pytest.fixture(autouse=True)
def _watched_often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVERY_S", "SILENT_S", "ASK_EVERY_S"):
        monkeypatch.setattr(stalls, name, 0.05)
    monkeypatch.setattr(stalls, "READS", 100_000)


@pytest.mark.parametrize("begun", [False, True], ids=["before its first event", "in its middle"])
@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
async def test_a_stream_that_drips_ends_at_the_limits_of_an_engine_that_is_silent(
    drip: bytes, begun: bool
) -> None:
    first = chunk("one word") + b"\n\n" if begun else b""
    async with dripping(drip, first) as (engine, url):
        config = EngineConfig(
            *("mock", "openai", url, "theirs"),
            slots=1,
            first_token_s=60.0 if begun else 0.5,
            between_tokens_s=0.5,
        )
        traces = await watched_to_its_end(OpenAIEngine(config))
        await asyncio.wait_for(engine.closed.wait(), 10)
    assert traces.row["error_code"] == "engine_failed"
    assert traces.error["message"] == stalls.RequestStalled().message
    assert engine.drips > 5, "it was alive to the end"
    assert len(traces.events) == begun
