"""Connections to engines: what HTTP/1.1 allows is read, all else is an answer broken off."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from inference.engines.transport import session as sessions
from inference.engines.transport.connection import UNREAD, BrokenOff, EngineResponse, NoConnection
from inference.engines.transport.session import STREAM_REST_S, EngineSession
from infrastructure import outgoing_tls

Speaks = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
JSON = {"Content-Type": "application/json"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """Plays one answer for each request, on every connection."""

    def __init__(self, *answers: bytes, closes: bool = False) -> None:
        self.answers, self.closes = list(answers), closes
        self.requests: list[bytes] = []
        self.connections = self.open = 0
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections, self.open = self.connections + 1, self.open + 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                self.requests.append(head + await reader.readexactly(length))
                for piece in self.answers.pop(0).split(b"|"):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
async def session() -> AsyncIterator[EngineSession]:
    async with EngineSession() as session:
        yield session


async def whole(answer: EngineResponse) -> bytes:
    found = b""
    while piece := await answer.piece():
        found += piece
    return found


async def asked(session: EngineSession, url: str, body: bytes = b"{}") -> tuple[int, bytes]:
    async with session.post(url, body, JSON) as answer:
        return answer.status, await whole(answer)


@pytest.mark.parametrize(
    "said",
    [
        OK,
        b"HTTP/1.1 200|OK\r\nContent-|Length: 5\r|\n\r\nhe|llo",
        CHUNKED + b"2\r\nhe\r\n|3;name=value\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n|HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n|" + OK,
    ],
)
async def test_an_answer_is_whole_however_it_comes(session: EngineSession, said: bytes) -> None:
    said = said.replace(b"200|OK", b"200 |OK")
    async with Server(said, OK).running() as server:
        assert await asked(session, server.url, b'{"a":1}') == (200, b"hello")
        assert await asked(session, server.url) == (200, b"hello")
        assert server.connections == 1
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.startswith(b"POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nContent-Type: application/json\r\n" in head


async def test_one_without_a_length_ends_with_its_connection(session: EngineSession) -> None:
    async with Server(b"HTTP/1.1 200 OK\r\n\r\nhello", OK, closes=True).running() as server:
        assert await asked(session, server.url) == (200, b"hello")
        assert await asked(session, server.url) == (200, b"hello")
        assert server.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"x\r\nhello\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    ],
)
async def test_what_is_no_whole_answer_is_broken_off(session: EngineSession, said: bytes) -> None:
    async with Server(said, OK, closes=True).running() as server:
        with pytest.raises(BrokenOff):
            await asked(session, server.url)
        assert await asked(session, server.url) == (200, b"hello")


@pytest.mark.parametrize("endless", [b"X: y\r\n" * 16_000, b"x" * 64_000])
async def test_an_end_that_does_not_come_is_broken_off(
    session: EngineSession, endless: bytes
) -> None:
    """The parser keeps a trailer in memory until it is whole."""
    said = CHUNKED + b"5\r\nhello\r\n0\r\nTrailer: " + (endless + b"|") * 200
    async with Server(said, OK).running() as server:
        with pytest.raises(BrokenOff, match="too large"):
            await asked(session, server.url)
        assert await asked(session, server.url) == (200, b"hello")


async def test_nobody_there(session: EngineSession) -> None:
    for url in ("http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1", f"http://{'x' * 70}/"):
        with pytest.raises(NoConnection):
            await asked(session, url)


async def test_who_does_not_accept_in_time(
    session: EngineSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "CONNECT_S", 0.2)
    async with Server(OK).running() as server:  # it speaks no TLS, and waits for a request
        with pytest.raises(NoConnection):
            await asked(session, server.url.replace("http:", "https:"))


async def test_a_redirect_is_not_followed(session: EngineSession) -> None:
    async with Server(OK).running() as other:
        said = f"HTTP/1.1 307 X\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n"
        async with Server(said.encode()).running() as server:
            assert await asked(session, server.url, b"secret") == (307, b"")
        assert other.requests == []


async def test_a_head_has_no_lines_that_somebody_else_wrote(session: EngineSession) -> None:
    async with Server(OK).running() as server:
        with pytest.raises(ValueError, match="line break"):
            async with session.post(server.url, b"{}", {"Authorization": "Bearer x\r\nX: y"}):
                pass
        assert server.requests == []


async def test_one_that_is_left_in_the_middle_is_closed(session: EngineSession) -> None:
    said = CHUNKED + b"5\r\nhello\r\n|" + b"5\r\nhello\r\n|" * 100
    async with Server(said, OK).running() as server:
        async with session.post(server.url, b"{}", JSON) as answer:
            assert await answer.piece() == b"hello"
        assert await asked(session, server.url) == (200, b"hello")
        assert server.connections == 2


async def test_a_cancelled_one_is_closed(session: EngineSession) -> None:
    async with Server(CHUNKED + b"5\r\nhello\r\n|" * 1000).running() as server:
        task = asyncio.create_task(asked(session, server.url))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            while server.open:
                await asyncio.sleep(0.01)


async def test_an_idle_connection_is_closed_after_a_while(
    session: EngineSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "IDLE_S", 0.1)
    async with Server(OK, OK).running() as server:
        await asked(session, server.url)
        assert server.open == 1
        async with asyncio.timeout(5):
            while server.open:
                await asyncio.sleep(0.01)
        assert await asked(session, server.url) == (200, b"hello")


async def test_one_that_the_engine_has_closed_is_not_used(session: EngineSession) -> None:
    async with Server(OK, OK, closes=True).running() as server:
        await asked(session, server.url)
        await asyncio.sleep(0.1)
        assert await asked(session, server.url) == (200, b"hello")


async def test_after_a_stream_an_engine_has_a_moment_to_close(session: EngineSession) -> None:
    """As llama.cpp does: the next request must not go over what it is about to close."""
    head = CHUNKED.removesuffix(b"\r\n") + b"Content-Type: text/event-stream\r\n\r\n"
    stream = head + b"5\r\nhello\r\n0\r\n\r\n"
    async with Server(stream, OK, closes=True).running() as server:
        for _ in range(2):
            assert await asked(session, server.url) == (200, b"hello")
        assert server.connections == 2
    async with Server(stream, OK).running() as server:
        await asked(session, server.url)
        await asyncio.sleep(2 * STREAM_REST_S)
        assert await asked(session, server.url) == (200, b"hello")
        assert server.connections == 1


@pytest.mark.parametrize("surplus", [OK, b"|" + OK, OK[:20], b"|" + OK[:20]])
async def test_an_answer_that_nobody_asked_for_is_nobodys(
    session: EngineSession, surplus: bytes
) -> None:
    """It would be the answer to the next request, which may be another tenant's."""
    other = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"
    async with Server(OK + surplus, other).running() as server:
        assert await asked(session, server.url) == (200, b"hello")
        await asyncio.sleep(0.1)
        assert await asked(session, server.url) == (200, b"other")
        assert server.connections == 2


async def test_many_at_once_have_a_connection_each(session: EngineSession) -> None:
    async with Server(*[OK] * 40).running() as server:
        for _ in range(2):
            found = await asyncio.gather(*[asked(session, server.url) for _ in range(20)])
            assert found == [(200, b"hello")] * 20
        assert server.connections == 20


@pytest.mark.parametrize("paused", [False, True])
async def test_who_does_not_read_fills_no_memory(session: EngineSession, paused: bool) -> None:
    length = 32 * UNREAD
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length
    async with Server(said).running() as server, session.post(server.url, b"{}", JSON) as answer:
        if paused:
            answer.pause()
        await asyncio.sleep(0.3)
        assert answer._unread <= 4 * UNREAD
        answer.resume()
        assert len(await whole(answer)) == length


def test_tls_is_checked() -> None:
    context = outgoing_tls.context("engine.example.com")
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
