"""The typed variables of a template, and the values that a request has for them."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from inference.templating import hostile
from inference.templating.placeholders import NAME

Value = str | int | float | bool
MOST = 50
LENGTH, LONGEST = 10_000, 1_000_000  # characters of a string: without `max_length`, and with it
_NAME = re.compile(NAME)


class Variable(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    type: str = "string"
    default: Value | None = None  # without one, each request has to give it
    max_length: int = 0  # characters of a string; 0: LENGTH

    @property
    def length(self) -> int:
        return self.max_length or LENGTH


class WrongVariable(Exception):
    """`name` is its name, and the message all that is to be said of it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name, self.message = name, message


def _is_integer(value: Any) -> bool:
    """Of 64 bits: no other one can be written as JSON."""
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


def texts(variables: Sequence[Variable], given: Mapping[str, Any]) -> dict[str, str]:
    """What to put in for each of them. Raises WrongVariable."""
    known = {variable.name for variable in variables}
    for name in given:
        if name not in known:
            names = ", ".join(f"`{one}`" for one in sorted(known)) or "none"
            what = f"`{name[:80]}` is not a variable of this template; it has {names}"
            raise WrongVariable(name, what)
    return {variable.name: _text(variable, given) for variable in variables}


def _text(variable: Variable, given: Mapping[str, Any]) -> str:
    value = given.get(variable.name, variable.default)
    if value is None and variable.name not in given:
        raise WrongVariable(variable.name, f"the variable `{variable.name}` is missing")
    if problem := wrong(variable, value):
        raise WrongVariable(variable.name, f"the variable `{variable.name}` {problem}")
    return value if isinstance(value, str) else _written(value)


def wrong(variable: Variable, value: Any) -> str:
    """What is wrong with a value, in words that follow the variable's name; "" when nothing is."""
    holds, should = TYPES[variable.type]
    if not holds(value):
        return f"must be {should}"
    if not isinstance(value, str):
        return ""
    if len(value) > variable.length:
        return f"must be at most {variable.length} characters, not {len(value)}"
    return hostile.why(value)


def _written(value: Any) -> str:
    """As JSON writes it."""
    return msgspec.json.encode(value).decode()
