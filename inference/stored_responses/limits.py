"""Bounds what a chain of responses carries from one to the next."""

import re

from django.conf import settings

from inference.errors import BadRequest
from inference.order import Stored

MOST_ITEMS = 4096
MOST_CONTAINERS = 100_000  # objects and lists: each further response reads all of them again
MOST_REFERENCED = 16  # responses whose items a request names
PARAM = "previous_response_id"
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


def check(number: int, stored: Stored) -> Stored:
    """Returns the request as it is stored, with `number` input items. Raises BadRequest."""
    if number > MOST_ITEMS:
        raise _too_long(f"{number} items; {MOST_ITEMS} are the most")
    if stored.size > settings.MAX_BODY_BYTES:
        raise _too_long(f"{stored.size} bytes; {settings.MAX_BODY_BYTES} are the most")
    if (containers := _containers(stored.items)) > MOST_CONTAINERS:
        raise _too_long(f"{containers} objects and lists; {MOST_CONTAINERS} are the most")
    return stored


def _containers(text: bytes) -> int:
    """Returns the objects and lists of a JSON, of few with the brackets in its texts."""
    count = text.count(b"[") + text.count(b"{")
    if count <= MOST_CONTAINERS:
        return count
    rest = _TEXT.sub(b"", text)
    return rest.count(b"[") + rest.count(b"{")


def _too_long(length: str) -> BadRequest:
    what = f"this response and those before it have {length}: begin anew with a summary"
    return BadRequest(what, code="chain_too_long", param=PARAM)
