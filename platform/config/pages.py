"""The pages, behind a bound: Django spools a body of any size to disk before it looks at it."""

from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase
from starlette.responses import JSONResponse, PlainTextResponse, Response

from console.api.problem import MEDIA_TYPE, TYPE
from inference.openai.content_encoding import unpacked
from inference.openai.errors import ApiError

MOST_BYTES = 1024 * 1024


class PageHandler(ASGIHandler):
    """Runs a page, its middleware and its error page in one thread, over one connection.

    Django's own handler goes into a thread and back for each middleware, and renders error pages
    in threads that keep their connections to the database.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self.get_response)(request)


async def bounded(pages: Any, scope: Any, receive: Any, send: Any) -> None:
    """Answers 413 for a form that is too large, packed or not, 400 for NUL bytes, which no field
    can hold.
    """
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return await _refuse(413, "What was sent is too large.", scope, receive, send)
        more = message.get("more_body", False)
    if encoding := _encoding(scope):
        try:
            body = bytearray(unpacked(bytes(body), encoding, MOST_BYTES))
        except ApiError as refused:
            return await _refuse(refused.status, f"{refused}.", scope, receive, send)
        if len(body) > MOST_BYTES:
            return await _refuse(413, "What was sent is too large.", scope, receive, send)
        scope = _as_if_plain(scope, len(body))
    if _holds_nul(scope, bytes(body)):
        return await _refuse(400, "The request holds a NUL byte.", scope, receive, send)
    whole = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

    async def replay() -> Any:
        return next(whole, None) or await receive()

    await pages(scope, replay, send)
    return None


def _encoding(scope: Any) -> str:
    given = [value for name, value in scope["headers"] if name == b"content-encoding"]
    return ", ".join(value.decode("latin-1") for value in given)


def _as_if_plain(scope: Any, length: int) -> Any:
    changed = (b"content-encoding", b"content-length")
    headers = [line for line in scope["headers"] if line[0] not in changed]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _holds_nul(scope: Any, body: bytes) -> bool:
    if b"%00" in scope["query_string"] or "\0" in scope["path"]:
        return True
    return b"%00" in body and not _for_programs(scope)  # JSON says it in another way


def _for_programs(scope: Any) -> bool:
    return bool(scope["path"].startswith("/api/"))


async def _refuse(status: int, text: str, scope: Any, receive: Any, send: Any) -> None:
    headers = {"connection": "close"}
    answer: Response = PlainTextResponse(text, status, headers)
    if _for_programs(scope):
        code = {413: "too_large", 415: "unsupported_media_type"}.get(status, "malformed")
        said = {"type": TYPE + code, "title": text, "status": status, "detail": text}
        said["instance"] = scope["path"].replace("\0", "")
        answer = JSONResponse(said, status, headers, MEDIA_TYPE)
    await answer(scope, receive, send)
