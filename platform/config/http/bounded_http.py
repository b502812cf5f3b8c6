"""uvicorn's protocols with the limits that they lack: on the size of a head and of trailers,
on pipelining, on the time that a client takes to send or to read, and on connections.

Without them, a client without a key could fill memory or hold connections indefinitely.
"""

import asyncio
import weakref
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import httptools
from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from config.http.coalesced_write import HeadWithBody
from config.http.connection_limit import ConnectionLimit, most_connections
from config.http.head_checks import refusal_reason
from config.http.websocket_frames import BoundedFrames
from inference.errors import ApiError, BadRequest, Headers, RequestTimeout, Unavailable
from tenants.rate_limits.client_address import counted, plain_or_none

MOST_HEAD_BYTES = 65_536
MOST_HEADERS = 200
HEAD_TOO_LARGE = "The request's head is too large"
MOST_PIPELINED = 16  # requests behind the one that runs: each costs far more than its bytes
LEAST_READ = 65_536  # bytes in SEND_TIMEOUT_S
LINGER_S, MOST_LINGERING = 1.0, 256  # a refused client may read its answer for so long
_lingering: set[Any] = set()
_limits: WeakKeyDictionary[ServerState, ConnectionLimit] = WeakKeyDictionary()


def connection_limit_of(server: ServerState) -> ConnectionLimit:
    if server not in _limits:
        _limits[server] = ConnectionLimit(most_connections(), settings.CONNECTIONS_PER_ADDRESS)
    return _limits[server]


class SlowReaders(asyncio.Protocol):
    """Drops a client that has read next to nothing for SEND_TIMEOUT_S of what waits for it.

    A tenth of it is enough: a large answer takes a slow line longer than that.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _stalled: asyncio.TimerHandle | None = None
    # Bytes that waited when it last read enough, how many it has to read, and until when.
    _unread, _least, _read_until = 0, 0, 0.0

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._least = max(LEAST_READ, self._unread // 10)
        self._read_until = self.loop.time() + settings.SEND_TIMEOUT_S
        self._look_again()

    def _look_again(self) -> None:
        self._stalled = self.loop.call_later(settings.SEND_TIMEOUT_S / 4, self._look_at_reader)

    def _look_at_reader(self) -> None:
        unread, now = self.transport.get_write_buffer_size(), self.loop.time()
        if self._unread - unread >= self._least:
            self._unread, self._read_until = unread, now + settings.SEND_TIMEOUT_S
        elif now >= self._read_until:
            return self.transport.abort()
        return self._look_again()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _stop_watching(self) -> None:
        if self._stalled:
            self._stalled.cancel()
            self._stalled = None


class TooMuch(Exception):
    """Raised to end the parsing of a client's bytes; it has been answered, or gets no answer."""


class Bounded(SlowReaders, HttpToolsProtocol):
    _head = 0  # bytes of the head that is being read, as far as known; -1 while a body is
    _piece, _read = 0, 0  # bytes: of what came last, and since the piece that ended the last head
    _beside = 0  # bytes since the last ones of a body: its trailers, extensions of its chunks
    _upgrade_ignored = False
    _due = inf  # when the client must have sent what it is sending
    _body_began = 0.0
    _between_requests = False
    _limit: ConnectionLimit | None = None
    _running: RequestResponseCycle | None = None
    _address = ""
    _refused = False
    _last_call = False  # the server ends: the next answer says that it is the last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit, address = connection_limit_of(self.server_state), counted_address(self.client)
        if not limit.join(self, address):
            return self._turn_away()
        self._limit, self._address = limit, address
        self._due = self.loop.time() + settings.HEAD_TIMEOUT_S
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_limit()
        super().connection_lost(exc)
        self._tell_gone()

    def _tell_gone(self) -> None:
        """Tell the request that runs, and none of those behind it, that its client has gone."""
        cycle = self._running
        if cycle is None or cycle.response_complete:
            return
        cycle.disconnected = True
        cycle.message_event.set()
        if tell := getattr(cycle, "tell_gone", None):
            tell()

    def _leave_limit(self) -> None:
        if self._limit:
            self._limit.leave(self, self._address)
            self._limit = None

    # Reading -------------------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._head >= 0:
            self._head += len(data)
            if self._between_requests:
                self._between_requests = False
                self._due = self.loop.time() + settings.HEAD_TIMEOUT_S
        else:
            self._beside += len(data)
        self._piece = len(data)
        self._read += self._piece
        self._parse(data)
        if self.transport.is_closing():
            return
        if self._head > MOST_HEAD_BYTES:
            self._refuse_head(HEAD_TOO_LARGE)
        elif self._beside > MOST_HEAD_BYTES:
            self._close_with(BadRequest("the trailers of this request are too large"))

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _parse(self, data: bytes | memoryview) -> None:
        while data:
            try:
                return self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as paused:
                upgrades = self._should_upgrade()
                if upgrades and self._is_idle:
                    return self.handle_websocket_upgrade()
                # Behind a request that runs, its answer would be written into the websocket.
                if upgrades or not self._go_on_without_upgrade():
                    return self._send_invalid()
                data = memoryview(data)[paused.args[0] :]
            except httptools.HttpParserError:
                return self._send_invalid()
        return None

    def _send_invalid(self) -> None:
        if not self.transport.is_closing():
            self._refuse_head("Invalid HTTP request received.")

    def _refuse_head(self, why: str) -> None:
        """Answer 400, or only close where that would land in the middle of another answer."""
        if self._is_idle or not (self.cycle.response_started or self.pipeline):
            self.send_400_response(why)
        else:
            self.transport.close()

    def _go_on_without_upgrade(self) -> bool:
        """Parse the request again as one without an upgrade. Returns False where that cannot be.

        A server may ignore an upgrade (RFC 9110, 7.8), and httptools takes what follows such a head
        for another protocol, not for a body.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            return False
        head = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        head += [b"%b: %b" % line for line in _without_upgrade(self.headers)]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"\r\n".join([*head, b"", b""]))
        return True

    def on_message_begin(self) -> None:
        self._upgrade_ignored = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head < 0:
            return  # a trailer: a client must not pass it off as a header of a proxy's
        if len(self.headers) >= MOST_HEADERS:
            self._refuse_head(f"The request has more than {MOST_HEADERS} headers")
            raise TooMuch
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._beside = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            self.transport.close()
            raise TooMuch
        if self._read > MOST_HEAD_BYTES and self._head_size() > MOST_HEAD_BYTES:
            self._refuse_head(HEAD_TOO_LARGE)
            raise TooMuch
        if why := refusal_reason(self.headers, self.parser.get_http_version()):
            self._refuse_head(why)
            raise TooMuch
        self._read = self._piece
        self._head, self._beside = -1, 0
        if self.parser.should_upgrade() and not self._should_upgrade():
            self._upgrade_ignored = True
            return  # _parse goes on
        super().on_headers_complete()
        if self._last_call and self.cycle is not None:
            self.cycle.keep_alive = False
        pipelined = bool(self.pipeline)  # its turn has not come, and nobody reads its body
        if pipelined:
            self._due = inf
        else:
            self._body_begins()

    def _body_begins(self) -> None:
        self._body_began = self.loop.time()
        self._due = self._body_began + settings.BODY_TIMEOUT_S

    def _body_due(self) -> float:
        """Returns the time by which the body must be complete.

        It moves on for as long as the body comes at BODY_BYTES_PER_S on average.
        """
        grace = settings.BODY_TIMEOUT_S
        most = max(grace, settings.BODY_LONGEST_S)
        return self._body_began + min(most, grace + self._read / settings.BODY_BYTES_PER_S)

    def _head_size(self) -> int:
        """Returns about as many bytes as a head had that came in one piece with what follows it."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_message_complete(self) -> None:
        self._head = 0
        if self._upgrade_ignored:
            return
        self._due = inf
        super().on_message_complete()
        cycle = self.cycle
        if cycle is None:  # a websocket
            return
        if cycle.response_complete:
            self._expect_next_request()
        elif self._limit:
            self._limit.mark_working(self, self._address)

    def on_response_complete(self) -> None:
        """Replace uvicorn's method, which sets a timer for each request."""
        self.server_state.total_requests += 1
        if self._limit is None or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            if self.pipeline or not self.cycle.more_body:
                return
            self._body_begins()
        elif self._head >= 0:
            self._expect_next_request()
        self._limit.mark_waiting(self, self._address)

    def _expect_next_request(self) -> None:
        """Set the deadline of the next request, which may have begun."""
        self._between_requests = self._head == 0
        most = settings.KEEP_ALIVE_S if self._between_requests else settings.HEAD_TIMEOUT_S
        if self._last_call and self._between_requests:
            most = settings.LAST_CALL_S
        self._due = self.loop.time() + most

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["http_version"] == "1.0":
            app = _unchunked(app, cycle)
        self._running = cycle
        scope: Any = cycle.scope
        if scope["method"] != "HEAD":  # nothing follows that
            cycle.transport = HeadWithBody(self.transport, self.loop)  # type: ignore[assignment]
        scope["extensions"] = {"forebay.when_gone": when_gone_of(cycle)}
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answer with the inference API's JSON error, in place of uvicorn's plain text."""
        self.transport.write(_as_http(BadRequest(msg)))
        self.transport.close()

    # Closing -------------------------------------------------------------------------------------
    def look_at_clock(self, now: float) -> None:
        if now < self._due:
            return
        in_body = self._head < 0
        if in_body:
            self._due = self._body_due()
        if now >= self._due:
            self._close_with(_too_slow(in_body=in_body))

    def shutdown(self) -> None:
        """End after the present request: the server ends.

        A client that keeps its connection may be sending its next request, and nothing would tell
        it that nobody saw it: it is answered, with `connection: close`.
        """
        if not settings.LAST_CALL_S or not self._limit:
            return super().shutdown()
        self._last_call = True
        if self._is_idle:
            if self._head == 0:
                self._due = min(self._due, self.loop.time() + settings.LAST_CALL_S)
        elif not self.cycle.response_started:
            self.cycle.keep_alive = False
        return None

    def give_way(self) -> None:
        self._close_with(_too_many())

    def _close_with(self, error: ApiError) -> None:
        """Close the connection, with this error if a request has begun that has no answer yet."""
        cycle = self.cycle
        in_body = self._head < 0 and cycle is not None
        in_body = in_body and not (cycle.response_started or self.pipeline)
        began = in_body or (self._head > 0 and self._is_idle)
        if began and not self.transport.is_closing():  # another answer may just have closed it
            self.transport.write(_as_http(error))
        self._leave_limit()
        self._due = inf
        if not self._is_idle:
            self.cycle.disconnected = True  # nothing may be written behind that
            self.cycle.message_event.set()
            self._tell_gone()
        self.transport.close()

    def _turn_away(self) -> None:
        self._refused = True
        self.transport.write(_as_http(_too_many()))
        if len(_lingering) >= MOST_LINGERING:
            return self.transport.close()
        _lingering.add(self)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self._end_lingering)
        return None

    def _end_lingering(self) -> None:
        _lingering.discard(self)
        self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        self._due = inf
        super().handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        assert isinstance(socket, BoundedSocket)
        if self._limit:
            self._limit.mark_working(self, self._address)
            socket.after = self._leave_limit
        if not (self.transport.is_closing() or socket.handshake_initiated):
            self.send_400_response("Invalid websocket handshake.")


class BoundedSocket(SlowReaders, BoundedFrames):
    """A websocket, which counts as one of its client's connections, as its first request did."""

    after: Callable[[], None] = staticmethod(lambda: None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.after()
        super().connection_lost(exc)


def when_gone_of(cycle: RequestResponseCycle) -> Callable[[Callable[[], None] | None], None]:
    """Returns an extension of ASGI that registers a callback.

    It is called when the client goes before its answer is complete.
    """

    known = weakref.ref(cycle)  # its scope refers to us: a strong one would keep it in memory

    def when_gone(tell: Callable[[], None] | None) -> None:
        if (cycle := known()) is None:
            return
        cycle.tell_gone = tell  # type: ignore[attr-defined]  # uvicorn's class, our attribute
        if tell:
            cycle.flow.resume_reading()  # only a transport that reads notices the end
        if tell and cycle.disconnected:
            tell()

    return when_gone


def _unchunked(app: Any, cycle: RequestResponseCycle) -> Any:
    """Returns the application for HTTP/1.0, which has no chunks.

    An answer of unknown length ends with its connection.
    """

    async def run(scope: Any, receive: Any, send: Any) -> None:
        unknown = False

        async def plainly(message: Any) -> None:
            nonlocal unknown
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message.get("headers", ())}
                unknown = b"content-length" not in names
                if unknown:
                    cycle.chunked_encoding = False
            elif unknown:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, plainly)

    return run


def _without_upgrade(headers: Headers) -> Headers:
    upgrade = (b"upgrade", b"http2-settings")
    rest: Headers = []
    for name, value in headers:
        if name == b"connection":
            words = [word.strip() for word in value.split(b",")]
            rest.append((name, b", ".join(w for w in words if w.lower() not in upgrade)))
        elif name not in upgrade:
            rest.append((name, value))
    return rest


def counted_address(client: tuple[str, int] | None) -> str:
    """Returns the address whose connections are counted, "" for none.

    All clients of a proxy come from its address: it has to count them itself.
    """
    peer = plain_or_none(client[0]) if client else ""
    return "" if peer in settings.WEB_PROXIES else counted(peer)


def _too_slow(*, in_body: bool) -> ApiError:
    if not in_body:
        within = f"did not arrive within {settings.HEAD_TIMEOUT_S} s; try again"
        return RequestTimeout(f"the head of this request {within}")
    least = f"{settings.BODY_BYTES_PER_S} bytes a second"
    when = f"after {settings.BODY_TIMEOUT_S} s, and {settings.BODY_LONGEST_S} s at most"
    return RequestTimeout(
        f"the body of this request came too slowly ({least} {when}); send less, or try again"
    )


def _too_many() -> ApiError:
    message = "too many connections; reuse those that you have, or try again"
    return Unavailable(message, code="too_many_connections", retry_after=1)


def _as_http(error: ApiError) -> bytes:
    body = error.body()
    lines = [
        b"HTTP/1.1 %d %b" % (error.status, HTTPStatus(error.status).phrase.encode()),
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"connection: close",
        b"x-request-id: %b" % str(uuid4()).encode(),
        *(b"%b: %b" % line for line in error.headers()),
    ]
    return b"\r\n".join([*lines, b"", body])
