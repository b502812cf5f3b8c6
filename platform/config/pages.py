"""The pages, behind a bound: Django spools a body of any size to disk before it looks at it."""

from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from console.api.problem import MEDIA_TYPE, TYPE

MOST_BYTES = 1024 * 1024


async def bounded(pages: Any, scope: Any, receive: Any, send: Any) -> None:
    """Answers 413 for a form that is too large, 400 for NUL bytes, which no field can hold."""
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
    if _holds_nul(scope, bytes(body)):
        return await _refuse(400, "The request holds a NUL byte.", scope, receive, send)
    whole = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

    async def replay() -> Any:
        return next(whole, None) or await receive()

    await pages(scope, replay, send)
    return None


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
        code = "too_large" if status == 413 else "malformed"
        said = {"type": TYPE + code, "title": text, "status": status, "detail": text}
        said["instance"] = scope["path"].replace("\0", "")
        answer = JSONResponse(said, status, headers, MEDIA_TYPE)
    await answer(scope, receive, send)
