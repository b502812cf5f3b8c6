"""The fields of the bodies, and their checks."""

from typing import Any
from uuid import UUID

from inference.api.document.schemas import BOOLEAN, STRING
from inference.engines.fields import FieldRule, Fields
from inference.errors import BadRequest, must_be
from inference.models.assistants.widget_key import WidgetKey

LONGEST_NAME, LONGEST_REFERENCE, LONGEST_TOKEN = 80, 200, 1_000
_LANGUAGES = ["en", "zh"]


def _text(most: int) -> Any:
    return lambda value: isinstance(value, str) and 0 < len(value) <= most and "\0" not in value


def _optional(holds: Any) -> Any:
    return lambda value: value is None or holds(value)


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False


_LANGUAGE = FieldRule(
    _optional(lambda value: value in _LANGUAGES),
    "`en` or `zh`; the assistant's first language by default",
    {"type": "string", "enum": _LANGUAGES},
)
BEGINNING: Fields = {
    "assistant": FieldRule(
        _text(LONGEST_NAME), "the name of an assistant", {**STRING, "maxLength": LONGEST_NAME}
    ),
    "person": FieldRule(
        _text(LONGEST_REFERENCE),
        f"your own reference of the person, of 1 to {LONGEST_REFERENCE} characters",
        {**STRING, "minLength": 1, "maxLength": LONGEST_REFERENCE},
    ),
    "language": _LANGUAGE,
}
BEGINNING_OF_VISITORS: Fields = {"language": _LANGUAGE}
MESSAGE: Fields = {
    "text": FieldRule(
        lambda value: isinstance(value, str), "a text of 1 to 4000 characters", STRING
    ),
    "id": FieldRule(
        _optional(_is_uuid),
        "a UUID that you make: sent again with the same one, the message counts once",
        {**STRING, "format": "uuid"},
    ),
    "stream": FieldRule(
        _optional(lambda value: isinstance(value, bool)), "true for an answer as events", BOOLEAN
    ),
}
CLOSING: Fields = {
    "satisfaction": FieldRule(
        _optional(lambda value: type(value) is int and 1 <= value <= 5),
        "a number from 1 (bad) to 5 (good)",
        {"type": "integer", "minimum": 1, "maximum": 5},
    ),
    "resolved": FieldRule(
        _optional(lambda value: isinstance(value, bool)),
        "true if the question was resolved, in the person's words",
        BOOLEAN,
    ),
}
SESSION: Fields = {
    "key": FieldRule(
        lambda value: isinstance(value, str) and WidgetKey.is_text(value),
        "a widget key, `pk-fb-…`",
        STRING,
    ),
    "token": FieldRule(
        _optional(_text(LONGEST_TOKEN)), "the visitor's token so far, to renew it", STRING
    ),
}


def check(body: dict[str, Any], fields: Fields) -> None:
    """Raises BadRequest, which names the field and what it must be."""
    for name in body:
        if name not in fields:
            known = ", ".join(f"`{each}`" for each in fields)
            text = f"`{name[:80]}` is no field here; there are {known}"
            raise BadRequest(text, code="unknown_field", param=name[:80])
    for name, rule in fields.items():
        if not rule.holds(body.get(name)):
            raise must_be(name, rule.should)
