"""`expires_after` of files and `output_expires_after` of batches (OpenAI, Files)."""

from collections.abc import Mapping
from typing import Any

from inference.errors import BadRequest

ANCHOR, SHORTEST_S, LONGEST_S = "created_at", 3600, 30 * 24 * 3600
FORM_FIELDS = ("expires_after[anchor]", "expires_after[seconds]")


def of_form(fields: Mapping[str, Any]) -> int | None:
    """Returns seconds, or None. Raises BadRequest."""
    anchor, seconds = (fields.get(name) for name in FORM_FIELDS)
    if anchor is None and seconds is None:
        return None
    return _checked(anchor, _number(seconds), FORM_FIELDS)


def _number(text: object) -> int | None:
    """Returns the number; None if it is none, or too long."""
    is_one = isinstance(text, str) and len(text) < 9 and text.isascii() and text.isdigit()
    return int(str(text)) if is_one else None


def of_json(expiry: Any, param: str) -> int | None:
    """Returns seconds, or None. Raises BadRequest."""
    if expiry is None:
        return None
    if not isinstance(expiry, dict) or set(expiry) - {"anchor", "seconds"}:
        raise BadRequest(f"`{param}` must be an object with `anchor` and `seconds`", param=param)
    names = (f"{param}.anchor", f"{param}.seconds")
    return _checked(expiry.get("anchor"), expiry.get("seconds"), names)


def _checked(anchor: Any, seconds: Any, names: tuple[str, str]) -> int:
    of_anchor, of_seconds = names
    if anchor != ANCHOR:
        raise BadRequest(f"`{of_anchor}` must be {ANCHOR}", param=of_anchor)
    if type(seconds) is not int or not SHORTEST_S <= seconds <= LONGEST_S:
        message = f"`{of_seconds}` must be a number from {SHORTEST_S} to {LONGEST_S}"
        raise BadRequest(message, param=of_seconds)
    return seconds
