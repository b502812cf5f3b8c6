"""Bounds what a chain of responses carries from one to the next."""

from django.conf import settings

from inference.errors import BadRequest
from inference.order import Stored

MOST_ITEMS = 4096
MOST_REFERENCED = 16  # responses whose items a request names
PARAM = "previous_response_id"


def check(number: int, stored: Stored) -> Stored:
    """Returns the request as it is stored, with `number` input items. Raises BadRequest."""
    if number > MOST_ITEMS:
        raise _too_long(f"{number} items; {MOST_ITEMS} are the most")
    if stored.size > settings.MAX_BODY_BYTES:
        raise _too_long(f"{stored.size} bytes; {settings.MAX_BODY_BYTES} are the most")
    return stored


def _too_long(length: str) -> BadRequest:
    what = f"this response and those before it have {length}: begin anew with a summary"
    return BadRequest(what, code="chain_too_long", param=PARAM)
