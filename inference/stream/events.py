"""Reading an engine's SSE events as little as possible: they are forwarded untouched."""

import re
from typing import Any

import orjson

DONE = b"data: [DONE]"
_FINISH = re.compile(rb'"finish_reason":\s*"')
_USAGE = re.compile(rb'"usage":\s*\{')
_ID = re.compile(rb'"id":\s*"([^"]+)"')
_MODEL = re.compile(rb'"model":\s*"[^"]*"')


def ends(event: bytes) -> bool:
    """The event that carries the finish reason."""
    return _FINISH.search(event) is not None


def opens(event: bytes) -> bool:
    """The event that names the assistant's role, before any text."""
    return b'"role"' in event and not text_in(event)


def has_usage(event: bytes) -> bool:
    return _USAGE.search(event) is not None


def engine_id(event: bytes) -> bytes | None:
    found = _ID.search(event)
    return found.group(1) if found else None


def model_field(event: bytes) -> bytes | None:
    found = _MODEL.search(event)
    return found.group(0) if found else None


def parsed(event: bytes) -> dict[str, Any]:
    """{} for what is not a JSON object (comments, [DONE])."""
    _, _, data = event.rpartition(b"data:")
    try:
        found = orjson.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def text_in(event: bytes) -> str:
    """The piece of the answer that a reader sees."""
    for choice in parsed(event).get("choices") or ():
        delta = choice.get("delta") or choice
        return delta.get("content") or delta.get("text") or ""
    return ""
