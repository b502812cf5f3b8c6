"""A thin HTTP layer over ASGI for the few endpoints under /v1.

Django's own handler makes and joins a thread for each request, which costs more than all the rest.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.conf import settings

from inference.api.openai.content_encoding import unpacked
from inference.errors import ApiError, BadRequest, Headers, TooLarge
from inference.intake.answer_stream import ReaderGone
from inference.intake.context import Context, context_of
from tenants.caller import Caller
from tenants.rate_limits.client_address import client_ip

JSON: Headers = [(b"content-type", b"application/json")]


class Request:
    """One HTTP request; header names are lower case."""

    def __init__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started = False
        self.route = ""  # the template of its path
        self.extra: Headers = []
        self.request_id = ""
        self.caller: Caller | None = None  # once it is known
        self.origin, self.origin_is_known = "", False  # of a web page (cors.py)
        self.address_counted_at = 0  # its address has been charged for it (address_limit.py)
        self.at_admission = False  # which charges the address

    @property
    def context(self) -> Context:
        return context_of(self.scope)

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def client_ip(self) -> str:
        return client_ip(self.scope)

    async def body(self) -> bytes:
        """Raises TooLarge before more than the limit is read."""
        most = settings.MAX_BODY_BYTES
        try:
            declared = int(self.headers.get(b"content-length", b"0"))
        except ValueError:
            raise BadRequest("Content-Length must be a number") from None
        if declared > most:
            raise _too_large(most)
        pieces, length, more = list[bytes](), 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ReaderGone
            piece: bytes = message.get("body", b"")
            pieces.append(piece)
            length += len(piece)
            if length > most:
                raise _too_large(most)
            more = message.get("more_body", False)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if b"content-encoding" in self.headers:
            body = unpacked(body, self.header(b"content-encoding"), most)
            if len(body) > most:
                raise _too_large(most)
        return body

    async def gone(self) -> None:
        """Returns when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @property
    def known_as(self) -> str:
        """Of a completion its id; of anything else one that only the answer and the log know."""
        if not self.request_id:
            self.request_id = str(uuid4())
        return self.request_id

    # Answers -------------------------------------------------------------------------------------
    async def answer(self, body: bytes, status: int = 200, headers: Headers = JSON) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self.start(status, [*headers, length])
        await self._send({"type": "http.response.body", "body": body})

    async def answer_empty(self, headers: Headers) -> None:
        await self.start(204, headers)
        await self.write(b"", more=False)

    async def refuse(self, error: ApiError) -> None:
        await self.answer(error.body(), error.status, [*JSON, *error.headers()])

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        headers = [*headers, (b"x-request-id", self.known_as.encode()), *self.extra]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most} bytes; shorten it or split the request")
