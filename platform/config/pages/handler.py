"""The handler of pages. It bounds bodies: Django spools one of any size to disk first."""

from typing import Any, cast

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest, HttpResponseBase

from config.pages.form_memory import Bodies, Body
from config.pages.page_request import Visit, callers
from config.pages.refusal import Refused, is_for_programs, refuse
from inference.api.http.content_encoding import unpacked
from inference.errors import ApiError
from tenants.rate_limits.client_address import client_ip, counted

MOST_BYTES = 1024 * 1024
_bodies = Bodies()


class PageHandler(ASGIHandler):
    """A handler that runs a page with its middleware and error page in one thread and connection.

    Django's own handler goes into a thread and back for each middleware, and renders error pages
    in threads that keep their connections to the database.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self._answer)(request)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        callers.note(cast(ASGIRequest, request))
        return response


async def bounded(pages: Any, scope: Any, receive: Any, send: Any) -> None:
    """Have a page made when it is its turn.

    Answers 429 to an address of which too many strangers' requests came, 413 for a form that is too
    large, packed or not, 503 where too many large ones are on their way or too many pages are being
    made, 400 for NUL bytes, which no field can hold.
    """
    body = Body(_bodies, lambda: counted(client_ip(scope)))
    try:
        await _bounded(body, pages, scope, receive, send)
    except Refused as refused:
        await refuse(refused, scope, receive, send)
    finally:
        body.release()


async def _bounded(body: Body, pages: Any, scope: Any, receive: Any, send: Any) -> None:
    visit = Visit(scope)
    await visit.charge()
    content = await _read(body, receive)
    if content is None:
        return
    if encoding := _encoding(scope):
        content = _unpacked(body, content, encoding)
        scope = visit.scope = _as_if_plain(scope, len(content))
    if _holds_nul(scope, content):
        raise Refused(400, "The request holds a NUL byte.")
    whole = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def replay() -> Any:
        return next(whole, None) or await receive()

    await visit.run(pages, receive, replay, send)


async def _read(body: Body, receive: Any) -> bytes | None:
    """Returns the body, None if the client has gone. Raises Refused."""
    content, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        content += message.get("body", b"")
        _check(body, len(content))
        more = message.get("more_body", False)
    return bytes(content)


def _unpacked(body: Body, packed: bytes, encoding: str) -> bytes:
    try:
        content = unpacked(packed, encoding, MOST_BYTES)
    except ApiError as refused:
        raise Refused(refused.status, f"{refused}.") from None
    _check(body, len(content))
    return content


def _check(body: Body, size: int) -> None:
    if size > MOST_BYTES:
        raise Refused(413, "What was sent is too large.")
    if not body.may_grow_to(size):
        raise Refused(503, "Too much is being sent at once. Please try again in a moment.")


def _encoding(scope: Any) -> str:
    encodings = [value for name, value in scope["headers"] if name == b"content-encoding"]
    return ", ".join(value.decode("latin-1") for value in encodings)


def _as_if_plain(scope: Any, length: int) -> Any:
    changed = (b"content-encoding", b"content-length")
    headers = [line for line in scope["headers"] if line[0] not in changed]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _holds_nul(scope: Any, body: bytes) -> bool:
    if b"%00" in scope["query_string"] or "\0" in scope["path"]:
        return True
    return b"%00" in body and not is_for_programs(scope)  # JSON writes NUL as \u0000
