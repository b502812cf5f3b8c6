"""Holds the length of a body against its model's context before the body is parsed.

A body that might fit in any reading is let through: then it is parsed, and `check_length` of
inference/validation/requests.py decides.
"""

import re
from collections.abc import Iterator

from inference.engines.base import Engine
from inference.engines.capabilities import MEDIA
from inference.errors import Unavailable
from inference.intake.access.allowed import NoSuchModel, engine_for
from inference.intake.prompt_templates import FIELD
from inference.validation.bounded_json import LIGHT
from inference.validation.requests import may_fit, too_long
from tenants.caller import Caller

MOST_FIELDS = 8  # of one name, in all objects of a body
_STRING = re.compile(rb'\s*:\s*"([^"\\]{1,1000})"')
_LIST = re.compile(rb"\s*:\s*\[")
_KEY = re.compile(rb"\s*:")
# Escaped letters, which no serializer writes, could hide a name. Media count for nothing, a
# template's text stands elsewhere.
_UNCERTAIN = (
    *(b"\\u00%d" % digit for digit in range(4, 8)),
    *(b'"%s"' % name.encode() for name in (*sorted(MEDIA), FIELD)),
)


def check(caller: Caller, raw: bytes, model: str = "") -> None:
    """Refuse a body that cannot fit. `model` is its model if not the body names it.

    Raises BadRequest.
    """
    if len(raw) <= LIGHT or not (names := {model} if model else _models_in(raw)):
        return
    engine = _longest(caller, names)
    if engine and not may_fit(len(raw), engine) and not _is_uncertain(raw):
        raise too_long(engine, "messages" if b'"messages"' in raw else "prompt")


def _models_in(raw: bytes) -> set[str]:
    """Returns all that a field `model` of any object holds; nothing if one cannot be told."""
    names = set[str]()
    for place in _fields(raw, b'"model"'):
        if (name := _STRING.match(raw, place)) is None:
            return set()
        names.add(name[1].decode(errors="replace"))
    return names


def _fields(raw: bytes, key: bytes) -> Iterator[int]:
    """Yields where each field of this name has its colon; the start of `raw` if there are many."""
    place = -1
    for _ in range(MOST_FIELDS):
        if (place := raw.find(key, place + 1)) < 0:
            return
        if _KEY.match(raw, place + len(key)):
            yield place + len(key)
    yield 0


def _longest(caller: Caller, models: set[str]) -> Engine | None:
    """Returns the engine of the longest context; None if the caller may not use all of them."""
    try:
        engines = [engine_for(caller, name) for name in models]
    except (NoSuchModel, Unavailable):
        return None
    return max(engines, key=lambda engine: engine.context_length)


def _is_uncertain(raw: bytes) -> bool:
    """Returns whether something in the body might count for less than its length."""
    if any(mark in raw for mark in _UNCERTAIN):
        return True
    return any(_LIST.match(raw, place) or not place for place in _fields(raw, b'"prompt"'))
