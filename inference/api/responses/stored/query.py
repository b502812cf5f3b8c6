"""Parameters in the addresses of stored responses."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from inference.api.http.request import Request
from inference.api.responses.fields import INCLUDABLE
from inference.errors import BadRequest, must_be

_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_INCLUDE = ("include", "include[]")
LONGEST = 9  # digits of a number


def parameters(request: Request, known: Collection[str]) -> dict[str, str]:
    """Returns the parameters, without `include`, which is only checked. Raises BadRequest."""
    pairs = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
    for name, value in pairs:
        if name in _INCLUDE and value not in INCLUDABLE:
            raise must_be("include", f"one of {', '.join(INCLUDABLE)}")
        if name not in known and name not in _INCLUDE:
            raise BadRequest(f"there is no parameter `{name}` here", param=name)
    return {name: value for name, value in pairs if name in known}


def flag(values: Mapping[str, str], name: str) -> bool:
    """Returns a parameter that is true or false. Raises BadRequest."""
    if (text := values.get(name, "false").lower()) not in _FLAGS:
        raise must_be(name, "true or false")
    return _FLAGS[text]


def number(
    values: Mapping[str, str], name: str, default: int, least: int, most: int | None = None
) -> int:
    """Returns a parameter that is a number. Raises BadRequest."""
    if (text := values.get(name)) is None:
        return default
    is_one = text.isascii() and text.isdigit() and len(text) <= LONGEST
    if not is_one or int(text) < least or (most is not None and int(text) > most):
        raise must_be(name, f"a number from {least}" + (f" to {most}" if most else ""))
    return int(text)
