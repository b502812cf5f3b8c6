"""The handler of pages. It bounds bodies: Django spools one of any size to disk first.

The bytes of forms that are read before their sender can be known are a part of what the process may
hold of all requests (inference/intake/limits/unadmitted_bodies.py). The first FREE bytes of each
count for nothing: ordinary forms get through, however many large ones somebody else sends. The
number of connections bounds those.
"""

from typing import Any, cast

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest, HttpResponseBase

from config.pages.page_request import PageRefused, Visit, callers, is_for_programs, refuse
from inference.api.http.request import unpacked
from inference.errors import ApiError
from inference.intake.limits import unadmitted_bodies
from inference.intake.limits.unadmitted_bodies import BodyMemory, BodyOwner
from tenants.rate_limits.client_address import client_ip, counted

MOST_BYTES = 1024 * 1024
MOST = 64 * 1024 * 1024  # of the forms of all addresses together
MOST_OF_ADDRESS = 8 * 1024 * 1024


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
    body = BodyMemory(unadmitted_bodies.budget(), lambda: _owners(scope))
    try:
        await _bounded(body, pages, scope, receive, send)
    except PageRefused as refused:
        await refuse(refused, scope, receive, send)
    finally:
        body.release()


def _owners(scope: Any) -> tuple[BodyOwner, ...]:
    """Returns the owners that a form counts for. The address is looked up for large ones alone."""
    everybody, address = BodyOwner("forms", "", MOST), counted(client_ip(scope))
    of_address = BodyOwner("forms of an address", address, MOST_OF_ADDRESS)
    return (everybody, of_address) if address else (everybody,)


async def _bounded(body: BodyMemory, pages: Any, scope: Any, receive: Any, send: Any) -> None:
    visit = Visit(scope)
    await visit.count()
    content = await _read(body, receive)
    if content is None:
        return
    encodings = [value for name, value in scope["headers"] if name == b"content-encoding"]
    if encoding := b", ".join(encodings).decode("latin-1"):
        content = _unpacked(body, content, encoding)
        changed = (b"content-encoding", b"content-length")
        headers = [line for line in scope["headers"] if line[0] not in changed]
        length = (b"content-length", str(len(content)).encode())
        scope = visit.scope = {**scope, "headers": [*headers, length]}
    holds_nul = b"%00" in scope["query_string"] or "\0" in scope["path"]
    # JSON writes NUL as \u0000.
    may_be_nul = b"%00" in content or b"\0" in content
    if holds_nul or (may_be_nul and _is_encoded_form(scope)):
        raise PageRefused(400, "The request holds a NUL byte.")
    whole = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def replay() -> Any:
        return next(whole, None) or await receive()

    await visit.run(pages, receive, replay, send)


def _is_encoded_form(scope: Any) -> bool:
    """Returns whether %00 is a NUL in the body. In a form with a file it is three characters."""
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    has_file = any(kind.startswith(b"multipart/form-data") for kind in kinds)
    return not (has_file or is_for_programs(scope))


async def _read(body: BodyMemory, receive: Any) -> bytes | None:
    """Returns the body, None if the client has gone. Raises PageRefused."""
    content, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        content += message.get("body", b"")
        _check(body, len(content))
        more = message.get("more_body", False)
    return bytes(content)


def _unpacked(body: BodyMemory, packed: bytes, encoding: str) -> bytes:
    try:
        content = unpacked(packed, encoding, MOST_BYTES)
    except ApiError as refused:
        raise PageRefused(refused.status, f"{refused}.") from None
    _check(body, len(content))
    return content


def _check(body: BodyMemory, size: int) -> None:
    if size > MOST_BYTES:
        raise PageRefused(413, "What was sent is too large.")
    if body.grow(size):
        raise PageRefused(503, "Too much is being sent at once. Please try again in a moment.")
