"""A thin HTTP layer over ASGI for the few endpoints that take requests, and the probes.

Django's own handler creates and joins a thread for each request, which costs more than all the
rest.
"""

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import orjson
from django.conf import settings

from inference.api.call import HEAVY, Call, request_id_header
from inference.errors import ApiError, BadRequest, Headers, TooLarge, UnsupportedEncoding
from inference.intake.answer_stream import AnswerStream, ReaderGone
from inference.intake.limits.unadmitted_bodies import FREE
from inference.stream.frames import Frame

JSON: Headers = [(b"content-type", b"application/json")]


class Request:
    """One HTTP request. Header names are in lower case. `call` is set for those of the API."""

    def __init__(
        self,
        scope: Any,
        receive: Callable[[], Any],
        send: Callable[[Any], Any],
        call: Call | None = None,
        error_body: Callable[[ApiError], bytes] = ApiError.body,
        own_headers: Callable[[Headers], Headers] | None = None,
    ) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started = self.read_whole = False
        self.has_length = False  # the answer: nothing may be written behind a part of it
        self.extra: Headers = []
        self.origin, self.origin_is_known = "", False  # of a web page (cors.py)
        self._call, self._error_body, self._own_headers = call, error_body, own_headers

    @property
    def call(self) -> Call:
        assert self._call
        return self._call

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")

    def header_or_none(self, name: str) -> str | None:
        """Returns a header by its usual spelling, None if there is none."""
        own = name.lower().encode()
        return self.header(own) if own in self.headers else None

    async def body(self) -> bytes:
        """Read the body. Its memory counts until `Call.release_body`.

        Raises TooLarge before more than the limit is read, and the errors of `Call.hold`.
        """
        most = settings.MAX_BODY_BYTES
        declared = self.check_declared_length(most)
        is_packed = b"content-encoding" in self.headers  # assumed to be large
        if declared > FREE or is_packed:
            # In one step: of many bodies the first are read whole, instead of all in part.
            await self.call.hold(max(declared, HEAVY + 1 if is_packed else 0))
        pieces, length = list[bytes](), 0
        while not self.read_whole:
            pieces.append(await self.piece())
            length += len(pieces[-1])
            if length > most:
                raise _too_large(most)
            if length > FREE:
                await self.call.hold(length)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if is_packed:
            body = unpacked(body, self.header(b"content-encoding"), most)
            if len(body) > most:
                raise _too_large(most)
            if len(body) > FREE:
                await self.call.hold(len(body))
        return body

    def check_declared_length(self, most: int) -> int:
        """Returns the declared length, 0 without one. Raises TooLarge, BadRequest."""
        try:
            declared = int(self.headers.get(b"content-length", b"0"))
        except ValueError:
            raise BadRequest("Content-Length must be a number") from None
        if declared > most:
            raise _too_large(most)
        return declared

    async def piece(self) -> bytes:
        """Returns the next piece of the body, until `read_whole`. Raises ReaderGone."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ReaderGone
        self.read_whole = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    async def wait_until_closed(self) -> None:
        """Returns when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def call_when_closed(self, callback: Callable[[], None] | None) -> bool:
        """Register a callback for the connection's end; None removes it.

        Returns False if the server cannot: `wait_until_closed` takes a task for each request.
        """
        when_gone = self.scope.get("extensions", {}).get("forebay.when_gone")
        if when_gone:
            when_gone(callback)
        return when_gone is not None

    # Answers -------------------------------------------------------------------------------------
    async def answer(self, body: bytes, status: int = 200, headers: Headers = JSON) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self.start(status, [*headers, length])
        await self._send({"type": "http.response.body", "body": body})

    async def answer_json(self, value: Any) -> None:
        await self.answer(orjson.dumps(value))

    async def answer_empty(self, headers: Headers) -> None:
        await self.start(204, headers)
        await self.write(b"", more=False)

    async def refuse(self, error: ApiError) -> None:
        await self.answer(self._error_body(error), error.status, [*JSON, *error.headers()])

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        if self._call:
            self._call.counted.status = status
        own = self._call.response_headers() if self._call else [request_id_header(str(uuid4()))]
        headers = [*headers, *self.extra, *own]
        self.has_length = any(name == b"content-length" for name, _ in headers)
        if self._own_headers:
            headers += self._own_headers(headers)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most} bytes; shorten it or split the request")


# Compressed bodies --------------------------------------------------------------------------------
ACCEPTED = "gzip, deflate"
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """Unpack a body up to one byte more than `most`, which then is too large.

    Raises BadRequest, UnsupportedEncoding.
    """
    if (decompressor := unpacking(encoding)) is None:
        return body
    try:
        content = decompressor.decompress(body, most + 1)
    except zlib.error as problem:
        raise _bad(encoding, str(problem)) from None
    if len(content) <= most and (not decompressor.eof or decompressor.unused_data):
        raise _bad(encoding, "it breaks off" if not decompressor.eof else "something follows it")
    return content


def unpacking(encoding: str) -> "zlib._Decompress | None":
    """Returns a decompressor for pieces; None for a plain body. Raises UnsupportedEncoding."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in _WINDOW_BITS:
        raise UnsupportedEncoding(ACCEPTED)
    return zlib.decompressobj(_WINDOW_BITS[encoding])


def _bad(encoding: str, reason: str) -> BadRequest:
    return BadRequest(f"the body is not {encoding}, as Content-Encoding says: {reason}")


# Waiting as long as the client does ---------------------------------------------------------------
@contextlib.contextmanager
def watched(request: Request) -> Iterator[asyncio.Task[None]]:
    """Yields a task that is done when the client has disconnected."""
    closed = asyncio.create_task(request.wait_until_closed())
    try:
        yield closed
    finally:
        closed.cancel()


@contextlib.contextmanager
def attended(request: Request, answer: AnswerStream) -> Iterator[None]:
    """Let the answer end with ReaderGone when the client disconnects."""
    if request.call_when_closed(answer.hang_up):
        try:
            yield
        finally:
            request.call_when_closed(None)
        return
    with watched(request) as closed:
        closed.add_done_callback(lambda _: answer.hang_up())
        yield


async def whole(request: Request, answer: AnswerStream) -> Frame:
    """Returns the final frame of an answer in one piece. Raises ReaderGone."""
    with attended(request, answer):
        frame = await answer.whole()
    request.call.tell_whole(answer, frame)
    return frame
