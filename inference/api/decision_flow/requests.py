"""Reads a request for a decision: `{policy, input, person}`."""

import json
from typing import Any, NamedTuple

import msgspec

from inference.engines.fields import FieldRule, Fields
from inference.errors import BadRequest, must_be
from inference.models.prompt_template import LONGEST_NAME
from inference.validation import requests
from inference.validation.schemas import Body
from tenants.models.people.reference import LONGEST_REFERENCE

ROUTE = "/v1/decisions"
SHORT = 64 * 1024  # bytes of a body whose wrong number is named
_WORDS = ("NaN", "Infinity")


def _text(longest: int, what: str) -> FieldRule:
    schema = {"type": "string", "minLength": 1, "maxLength": longest}
    return FieldRule(lambda value: _is_text(value, longest), what, schema)


def _is_text(value: Any, longest: int) -> bool:
    """Returns whether it is a text that PostgreSQL takes: without NUL."""
    return isinstance(value, str) and 0 < len(value) <= longest and "\0" not in value


FIELDS: Fields = {
    "policy": _text(LONGEST_NAME, "the name of a decision policy of this tenant"),
    "input": FieldRule(
        lambda value: isinstance(value, dict),
        "an object with the inputs of the policy",
        {"type": "object"},
    ),
    "person": _text(
        LONGEST_REFERENCE, "your reference of whom it is about, such as the number of a customer"
    ),
}


class DecisionRequest(msgspec.Struct, frozen=True):
    """A request, whose input is not checked yet. `began` is the event loop's time."""

    policy: str
    input: Body
    person: str
    began: float
    length: int
    idempotency_key: str | None = None
    requested_class: str | None = None
    requested_residency: str | None = None
    time_limit_s: float = float("inf")

    @property
    def body(self) -> Body:
        return {"policy": self.policy, "input": self.input, "person": self.person}


def parsed(raw: bytes) -> Body:
    """Parse a body. Raises BadRequest, which names the field of a number that JSON has not."""
    try:
        return requests.parsed(raw)
    except BadRequest:
        _check_finite(raw)
        raise


def parsed_input(text: str) -> Body:
    """Parse an input that comes as text. Raises BadRequest."""
    raw = text.encode()
    try:
        return requests.parsed(raw)
    except BadRequest as problem:
        _check_finite(raw, "input")
        what = f"`input` must be a JSON object: {problem.message}"
        raise BadRequest(what, code=problem.code, param="input") from None


def checked(body: Body) -> Body:
    """Returns the body. Raises BadRequest for a missing, a wrong or a foreign field."""
    if foreign := sorted(body.keys() - FIELDS.keys()):
        name = foreign[0][:80]
        known = ", ".join(f"`{each}`" for each in FIELDS)
        raise BadRequest(f"`{name}` is no field of a decision; it has {known}", param=name)
    for name, rule in FIELDS.items():
        if not rule.holds(body.get(name)):
            raise must_be(name, rule.should)
    return body


class _Word(NamedTuple):
    """NaN or an infinity, which Python writes and JSON does not know."""

    text: str


def _check_finite(raw: bytes, path: str = "") -> None:
    """Raises BadRequest for the first value of a short text that is NaN or infinite."""
    if len(raw) > SHORT or not any(word.encode() in raw for word in _WORDS):
        return
    try:
        place = _path(json.loads(raw, parse_constant=_Word), path)
    except (ValueError, RecursionError):
        return
    if place:
        raise must_be(place, "a finite number", code="invalid_input")


def _path(value: Any, path: str = "") -> str:
    if isinstance(value, _Word):
        return path
    items = value.items() if isinstance(value, dict) else ()
    within = (_path(inner, f"{path}.{name[:80]}" if path else name[:80]) for name, inner in items)
    return next(filter(None, within), "")
