"""Refusals of pages that Django never sees: a line of text for people, JSON for programs."""

from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from console.api.problem import MEDIA_TYPE, TYPE

FOR_PROGRAMS = "/api/"
AGAIN_S = 5
_CODES = {413: "too_large", 415: "unsupported_media_type", 429: "throttled", 503: "unavailable"}


class Refused(Exception):
    """A refusal of a page. `again_s`: seconds after which to try again, with 429 and 503."""

    def __init__(self, status: int, text: str, again_s: int = AGAIN_S) -> None:
        super().__init__(text)
        self.status, self.again_s = status, again_s


def is_for_programs(scope: Any) -> bool:
    return bool(scope["path"].startswith(FOR_PROGRAMS))


async def refuse(refused: Refused, scope: Any, receive: Any, send: Any) -> None:
    """Write the refusal as the whole answer."""
    status, text = refused.status, str(refused)
    headers = {"connection": "close"}
    if status in (429, 503):
        headers["retry-after"] = str(refused.again_s)
    answer: Response = PlainTextResponse(text, status, headers)
    if is_for_programs(scope):
        code = _CODES.get(status, "malformed")
        problem = {"type": TYPE + code, "title": text, "status": status, "detail": text}
        problem["instance"] = scope["path"].replace("\0", "")
        answer = JSONResponse(problem, status, headers, MEDIA_TYPE)
    await answer(scope, receive, send)
