"""Errors in Anthropic's shape, with our `code`, `param` and `refusal_id` beside its `type`."""

import re
from typing import Any

import orjson

from inference.errors import ApiError
from inference.stream.frames import Frame

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# Fields of the chat that a request becomes, and what they are here.
_NAMES = (
    (re.compile(r"(?<=\])\.function\.parameters"), ".input_schema"),
    (re.compile(r"(?<=\])\.function(?=\.)"), ""),
    (re.compile(r"response_format\.json_schema"), "output_config.format"),
    (re.compile("response_format"), "output_config.format"),
    (re.compile("reasoning_effort"), "output_config.effort"),
)
_TOO_LONG = "context_length_exceeded"
_COUNTS = re.compile(r"context length is (\d+) tokens\..*resulted in (\d+) tokens", re.DOTALL)


def body(error: ApiError) -> bytes:
    inner = orjson.loads(error.body())["error"]
    return _written(inner, error.status, error.request_id)


def last_words(error: ApiError) -> bytes:
    """Returns the event that ends a stream."""
    return event(body(error))


def frame_body(frame: Frame, request_id: str) -> bytes:
    """Returns the error of a frame, which holds OpenAI's."""
    return _written(orjson.loads(frame.body)["error"], frame.status, request_id)


def event(error: bytes) -> bytes:
    return b"event: error\ndata: %b\n\n" % error


def type_of(status: int) -> str:
    return _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def _written(inner: dict[str, Any], status: int, request_id: str) -> bytes:
    if inner.get("code") == _TOO_LONG:
        inner["message"] = _too_long(inner["message"])
    own = {name: _renamed(inner[name]) for name in ("message", "param") if inner.get(name)}
    error = {**inner, **own, "type": type_of(status)}
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id or None})


def _renamed(text: str) -> str:
    for pattern, own in _NAMES:
        text = pattern.sub(own, text)
    return text


def _too_long(message: str) -> str:
    """Returns Anthropic's words for a prompt that does not fit: agents then shorten it."""
    if counts := _COUNTS.search(message):
        return f"prompt is too long: {counts[2]} tokens > {counts[1]} maximum"
    return f"prompt is too long: {message}"
