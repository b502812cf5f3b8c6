"""Streams of an engine that computes on our processors are read together: one wake-up for all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inference.engines.base import Engine, EngineConfig
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.transport import batched_reading
from inference.engines.transport.session import EngineSession
from tests.inference.orders import an_order

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
AGES = 30.0  # seconds
SOON = 5.0


class Near(Engine):
    def __init__(self, url: str) -> None:
        super().__init__(EngineConfig("m", "openai", url, "m"))
        self.computes_here = True


class Streams:
    """An engine that says what the test says, by stream; `heard` has who heard what, and when."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.heard: list[tuple[int, float, list[bytes]]] = []
        self.connections = 0

    @asynccontextmanager
    async def running(self, count: int) -> AsyncIterator["Streams"]:
        """All have said their first two events, which have been heard."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with server, EngineSession() as self.session:
            self.engine = Near(url)
            self.readers = [asyncio.create_task(self._read(n)) for n in range(count)]
            async with asyncio.timeout(SOON):
                while len(self.writers) < count:
                    await asyncio.sleep(0.01)
                for word in (b"1", b"2"):
                    for n in range(count):
                        self.says(n, word)
                    await self.until(lambda word=word: self.count(word) == count)
            self.heard.clear()
            yield self
            for reader in self.readers:
                reader.cancel()
            await asyncio.gather(*self.readers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                await reader.readexactly(length)
                writer.write(HEAD)
                self.writers.append(writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _read(self, number: int) -> None:
        async for events in self.engine.events(self.session, an_order()):
            self.heard.append((number, asyncio.get_running_loop().time(), events))

    def says(self, stream: int, *words: bytes) -> None:
        for word in words:
            event = b"data: %b\n\n" % word
            self.writers[stream].write(b"%x\r\n%b\r\n" % (len(event), event))

    def count(self, word: bytes) -> int:
        return sum(events.count(b"data: " + word) for _, _, events in self.heard)

    async def until(self, condition: object) -> None:
        async with asyncio.timeout(SOON):
            while not condition():  # type: ignore[operator]
                await asyncio.sleep(0.005)


async def test_a_step_of_all_streams_is_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched_reading, "STEP_S", 0.3)
    async with Streams().running(4) as streams:
        began = asyncio.get_running_loop().time()
        for n in range(4):
            streams.says(n, b"3")
            await asyncio.sleep(0.02)
        await streams.until(lambda: len(streams.heard) == 4)
        times = [at for _, at, _ in streams.heard]
        assert min(times) - began > 0.25
        assert max(times) - min(times) < 0.02 * 3


async def test_steps_that_follow_fast_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched_reading, "PICTURE_S", 0.2)
    async with Streams().running(1) as streams:
        words = [b"%d" % n for n in range(3, 23)]
        for word in words:
            streams.says(0, word)
            await asyncio.sleep(0.02)
        await streams.until(lambda: streams.count(words[-1]) == 1)
        said = [event for _, _, events in streams.heard for event in events]
        assert said == [b"data: " + word for word in words]
        assert len(streams.heard) <= 8


async def test_who_begins_or_ends_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched_reading, "STEP_S", AGES)
    async with Streams().running(2) as streams:
        streams.says(0, b"3")  # now the other one is held
        await asyncio.sleep(0.05)
        newcomer = asyncio.create_task(streams._read(2))
        await streams.until(lambda: len(streams.writers) == 3)
        streams.says(2, b"first")
        await streams.until(lambda: streams.count(b"first") == 1)
        streams.says(1, b"3", b"[DONE]")
        streams.writers[1].write(b"0\r\n\r\n")
        streams.writers[1].close()
        await asyncio.wait_for(streams.readers[1], SOON)
        assert streams.count(b"[DONE]") == 1
        newcomer.cancel()


async def test_a_kept_connection_is_held_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched_reading, "STEP_S", 0.1)
    async with Streams().running(2) as streams:
        for n in range(2):
            streams.says(n, b"3")
            streams.writers[n].write(b"0\r\n\r\n")
        await asyncio.wait_for(asyncio.gather(*streams.readers), SOON)
        again = asyncio.create_task(streams._read(0))
        await streams.until(lambda: len(streams.writers) == 3)
        streams.says(2, b"again")
        await streams.until(lambda: streams.count(b"again") == 1)
        assert streams.connections == 2
        again.cancel()


class Quiet:
    """A stream of which nothing comes."""

    held = False

    def hold(self, *, on: bool) -> None:
        self.held = on

    def deliver(self) -> int:
        return 0


async def test_who_joins_while_a_step_is_read_is_not_held_for_ever() -> None:
    together, first, second = batched_reading.Gathering(), Quiet(), Quiet()
    together.join(first)
    together.came()
    assert first.held
    async with asyncio.timeout(SOON):
        while first.held:
            await asyncio.sleep(0)
    together.join(second)
    assert not second.held, "nobody else may say anything any more"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("http://gpu-1:8080", False),
    ],
)
def test_an_engine_at_our_own_address_computes_here(url: str, here: bool) -> None:
    assert LlamaCppEngine(EngineConfig("m", "llama_cpp", url, "m")).computes_here is here
