"""Errors in Ollama's shape: the message as `error`, with our `code`, `param` and `refusal_id`."""

import re
from typing import Any

import orjson

from inference.api.ollama.options import OPTIONS
from inference.errors import ApiError
from inference.stream.frames import Frame

# Fields of the inner request, and what a client of Ollama calls them.
_NAMES = {
    "response_format.json_schema.schema": "format",
    "response_format.json_schema": "format",
    "response_format": "format",
    "max_tokens": "options.num_predict",
    "reasoning_effort": "think",
    "repetition_penalty": "options.repeat_penalty",
    **{name: f"options.{name}" for name, option in OPTIONS.items() if name in option.names},
    **{name: f"options.{name}" for name in ("temperature", "top_p", "seed", "stop")},
}
_NO_MODEL = re.compile(r"the model `(.*)` does not exist; ", re.DOTALL)
_LISTED = "GET /v1/models", "GET /api/tags"


def body(error: ApiError) -> bytes:
    return _written(orjson.loads(error.body())["error"])


def last_words(error: ApiError) -> bytes:
    """Returns the line that ends a stream."""
    return body(error) + b"\n"


def frame_body(frame: Frame) -> bytes:
    """Returns the error of a frame, which holds OpenAI's."""
    return _written(orjson.loads(frame.body)["error"])


def line(error: bytes, number: int) -> bytes:
    """Returns an error as the line of event `number`."""
    return orjson.dumps({**orjson.loads(error), "event": number}) + b"\n"


def _written(inner: dict[str, Any]) -> bytes:
    error = {"error": _message(inner["message"]), "code": inner.get("code")}
    param = inner.get("param")
    error["param"] = _NAMES.get(param, param) if isinstance(param, str) else None
    if refusal_id := inner.get("refusal_id"):
        error["refusal_id"] = refusal_id
    return orjson.dumps(error)


def _message(message: str) -> str:
    """Returns the message in the names of Ollama's API.

    Clients look for `not found` where a model is none.
    """
    if no_model := _NO_MODEL.match(message):
        return f"model '{no_model[1]}' not found: GET /api/tags lists those that there are"
    for ours, theirs in _NAMES.items():
        message = message.replace(f"`{ours}`", f"`{theirs}`")
    return message.replace(*_LISTED)
