"""The typed variables of a template, and their values in a request.

`{{name}}` in a template's text is the whole syntax. A text is filled in one pass, and inserted
values are not searched again: they are plain text.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

NAME = "[A-Za-z][A-Za-z0-9_]{0,39}"
_PLACEHOLDER = re.compile(r"\{\{[ \t]{0,8}(%s)[ \t]{0,8}\}\}" % NAME)  # noqa: UP031
# Texts that people, or a later normalisation, may take for one. It is bounded, so linear.
_OPENS, _CLOSES = "[{\uff5b\ufe5b\ufe37]", "[}\uff5d\ufe5c\ufe38]"
_ALIKE = re.compile(rf"{_OPENS}{{2}}[\w\s.\-]{{1,80}}{_CLOSES}{{2}}")
# Control characters but for tab and line breaks; noncharacters, interlinear annotations; halves of
# surrogate pairs, which no encoding has.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufff9-\ufffb\ufffe\uffff]")
_TURNED = re.compile("[\u202a-\u202e\u2066-\u2069]")  # show a text in another order (UTR 36)
_TAGS = re.compile("[\U000e0000-\U000e007f]")  # invisible ASCII
_FLAGS = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
Value = str | int | float | bool
MOST = 50
LENGTH, LONGEST = 10_000, 1_000_000  # characters of a string: without `max_length`, and with it
_NAME = re.compile(NAME)


def filled_text(text: str, values: Mapping[str, str]) -> str:
    """Fill a text. Raises KeyError for a placeholder without a value."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def placeholders(text: str) -> Iterator[str]:
    """Yields the names of all placeholders, repeated ones too."""
    return (match[1] for match in _PLACEHOLDER.finditer(text))


def like_placeholder(text: str) -> str | None:
    """Returns the first piece that looks like a placeholder."""
    match = _ALIKE.search(text)
    return match[0] if match else None


def unknown_placeholder(text: str, declared: set[str]) -> str | None:
    """Returns the first piece that looks like a placeholder without a known name."""
    for match in _ALIKE.finditer(text):
        placeholder = _PLACEHOLDER.fullmatch(match[0])
        if placeholder is None or placeholder[1] not in declared:
            return match[0]
    return None


def problem(text: str) -> str:
    """Returns what is wrong, to follow the variable's name; "" if nothing is."""
    if _UNSEEN.search(text):
        return "must not hold control characters"
    if _TURNED.search(text):
        return "must not hold characters that change the direction of text"
    if _TAGS.search(text) and _TAGS.search(_FLAGS.sub("", text)):
        return "must not hold invisible tag characters"
    if "{" in text or not text.isascii():
        return "must not hold a placeholder, such as `{{name}}`" if like_placeholder(text) else ""
    return ""


class Variable(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    type: str = "string"
    default: Value | None = None  # without one, each request has to set it
    max_length: int = 0  # characters of a string; 0: LENGTH

    @property
    def length(self) -> int:
        return self.max_length or LENGTH


class WrongVariable(Exception):
    """A variable is wrong. The message is the whole text for the client."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name, self.message = name, message


def _is_integer(value: Any) -> bool:
    """Returns whether it has 64 bits: JSON libraries fail on larger ones."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**64


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "string": (lambda value: isinstance(value, str), "a string"),
    "integer": (_is_integer, "an integer of at most 64 bits"),
    "number": (_is_number, "a number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
}


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def texts(variables: Sequence[Variable], arguments: Mapping[str, Any]) -> dict[str, str]:
    """Returns the text of each variable. Raises WrongVariable."""
    declared = {variable.name for variable in variables}
    for name in arguments:
        if name not in declared:
            names = ", ".join(f"`{each}`" for each in sorted(declared)) or "none"
            what = f"`{name[:80]}` is not a variable of this template; it has {names}"
            raise WrongVariable(name, what)
    return {variable.name: _text(variable, arguments) for variable in variables}


def _text(variable: Variable, arguments: Mapping[str, Any]) -> str:
    value = arguments.get(variable.name, variable.default)
    if value is None and variable.name not in arguments:
        raise WrongVariable(variable.name, f"the variable `{variable.name}` is missing")
    if problem := wrong(variable, value):
        raise WrongVariable(variable.name, f"the variable `{variable.name}` {problem}")
    return value if isinstance(value, str) else _written(value)


def wrong(variable: Variable, value: Any) -> str:
    """Returns what is wrong with a value, to follow the variable's name; "" if nothing is."""
    holds, should = TYPES[variable.type]
    if not holds(value):
        return f"must be {should}"
    if not isinstance(value, str):
        return ""
    if len(value) > variable.length:
        return f"must be at most {variable.length} characters, not {len(value)}"
    return problem(value)


def _written(value: Any) -> str:
    return msgspec.json.encode(value).decode()
