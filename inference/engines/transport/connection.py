"""One connection to an engine: HTTP/1.1, one request at a time, kept alive.

It only posts a body and streams the answer: 14 µs of CPU for a whole answer where aiohttp takes 83,
a quarter of a runner's time. httptools (llhttp) parses. Redirects are not followed, since a prompt
goes only to its configured address. Compression is not requested.
"""

import asyncio
import socket
from typing import cast

import httptools

from inference.engines.transport.batched_reading import Gathering

LONGEST_HEAD = 64 * 1024  # bytes
# Bytes of an answer beside its body: sizes of chunks that come by themselves, a trailer.
LONGEST_FRAME = 8 * 1024 * 1024
UNREAD = 256 * 1024  # bytes of an answer that wait for their reader until reading pauses
HELD = 16 * 1024  # bytes that wait in the socket of a held stream


class NoConnection(Exception):
    """The engine has received nothing of the request."""


class BrokenOff(Exception):
    """The engine may have received the request, and its answer is not whole."""


class EngineResponse:
    """Status, headers (names in lower case), and a body that arrives in pieces."""

    def __init__(self, transport: asyncio.Transport, status: int, headers: dict[str, str]) -> None:
        self.status, self.headers = status, headers
        self.over = False
        self._transport = transport
        self.pieces: list[bytes] = []  # of its body, not read yet
        self._unread = 0
        self._paused = False
        self._problem: BrokenOff | None = None
        self._waiter: asyncio.Future[None] | None = None  # costs less than an asyncio.Event
        self._gathering: Gathering | None = None
        self._held = False

    def join(self, gathering: Gathering) -> None:
        """Deliver this stream together with the others of a gathering from now on."""
        if not (self._gathering or self.over):
            self._gathering = gathering
            self._socket = self._transport.get_extra_info("socket")
            gathering.join(self)

    async def piece(self) -> bytes:
        """Returns the bytes since the last piece; b"" at the end. Raises BrokenOff."""
        while not self.pieces:
            if self._problem:
                raise self._problem
            if self.over:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        piece = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        self.pieces.clear()
        self._unread = 0
        self.resume()
        return piece

    def pause(self) -> None:
        """Stop reading. The bytes wait in the socket, and cost one step instead of many."""
        if not (self._paused or self.over or self._transport.is_closing()):
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # Called by a gathering ------------------------------------------------------------------------
    def hold(self, *, on: bool) -> None:
        if on is not self._held and not self._transport.is_closing():
            self._held = on
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, HELD if on else 1)

    def deliver(self) -> int:
        if self.pieces:
            self._wake()
        return sum(piece.count(b"\n\n") for piece in self.pieces)

    # Called by the connection ---------------------------------------------------------------------
    def fed(self, length: int) -> None:
        """Note that `length` bytes have arrived together; `pieces` has those of the body."""
        self._unread += length
        if self._gathering:
            self._gathering.came()
        else:
            self._wake()
        if self._unread > UNREAD:
            self.pause()

    def end(self, problem: BrokenOff | None = None) -> None:
        self._problem, self.over = problem, True
        self.leave()
        self._wake()

    def leave(self) -> None:
        gathering, self._gathering = self._gathering, None
        if gathering:
            gathering.leave(self)

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class EngineConnection(asyncio.Protocol):
    """A protocol for one engine. `idle_since` is of the loop's clock, 0 while it is in use."""

    _head_read: asyncio.Future[EngineResponse] | None

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._begin()

    async def ask(self, request: bytes) -> EngineResponse:
        """Send a request and return its answer. Raises BrokenOff."""
        assert self._transport
        self._begin()
        head_read: asyncio.Future[EngineResponse] = asyncio.get_running_loop().create_future()
        self._head_read = head_read
        self._transport.write(request)
        return await head_read

    @property
    def reusable(self) -> bool:
        """Returns whether its answer is whole and the engine keeps the connection."""
        over = self._answer is not None and self._answer.over
        return over and self._keeps and not (self._surplus or self.closed)

    @property
    def streamed(self) -> bool:
        """Returns whether its answer was a stream of events."""
        return self._headers.get("content-type", "").startswith("text/event-stream")

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        if self._transport:
            self._transport.abort()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._head_read = None
        self._answer: EngineResponse | None = None
        self._headers: dict[str, str] = {}
        self._frame = 0  # bytes that came without any of a body: the head, a trailer
        self._informational = self._keeps = self._framed = self._surplus = False

    # asyncio.Protocol ----------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop has its own class
        if sock := transport.get_extra_info("socket"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        if self._head_read is None or (self._answer and self._answer.over):
            return self.close()  # unasked: the next request must not take it for its answer
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            return self._fail(f"no HTTP: {problem}")
        if self._answer and self._answer.pieces:
            return self._answer.fed(len(data))
        self._frame += len(data)
        if self._frame > (LONGEST_FRAME if self._answer else LONGEST_HEAD):
            self._fail("its head or trailer is too large")
        return None

    def connection_lost(self, problem: Exception | None) -> None:
        if self._answer and not self._answer.over and not (self._framed or problem):
            self._answer.end()  # it ends with the connection (RFC 9112, 6.3)
        else:
            self._fail(str(problem or "it closed the connection"))
        self._transport = None

    def _fail(self, reason: str) -> None:
        problem = BrokenOff(reason)
        if self._answer:
            if not self._answer.over:
                self._answer.end(problem)
        elif self._head_read and not self._head_read.done():
            self._head_read.set_exception(problem)
        self.close()

    # httptools -----------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        self._surplus = self._answer is not None  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is None:  # else a trailer
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._surplus:
            return
        status, headers = self._parser.get_status_code(), self._headers
        self._informational = status < 200  # 100, 103: the answer follows
        if self._informational:
            self._headers = {}
            return
        self._framed = "content-length" in headers or "transfer-encoding" in headers
        assert self._transport
        self._answer = EngineResponse(self._transport, status, headers)
        if self._head_read and not self._head_read.done():
            self._head_read.set_result(self._answer)

    def on_body(self, data: bytes) -> None:
        if self._answer and not self._surplus:
            self._answer.pieces.append(data)

    def on_message_complete(self) -> None:
        if self._informational or self._surplus or not self._answer:
            self._informational = False
            return
        self._keeps = self._parser.should_keep_alive()
        self._answer.end()
