"""What comes in is exactly what was declared: no unknown field, no number for a text, no NUL."""

from typing import IO, Any, ClassVar

import orjson
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from inference.validation import bounded_json

# What a field takes as JSON. DRF by itself also takes 1 for "1", "yes" for true.
_TAKES: dict[type[serializers.Field[Any, Any, Any, Any]], tuple[type, ...]] = {
    serializers.BooleanField: (bool,),
    serializers.IntegerField: (int,),
    serializers.DecimalField: (str,),
    serializers.ListField: (list,),
    serializers.DictField: (dict,),
    serializers.JSONField: (str, int, float, bool),
}


class JSONParser(BaseParser):
    """Refuses what is no JSON (RFC 8259), lone surrogates and NUL characters."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], *args: Any, **kwargs: Any) -> Any:
        body = stream.read()
        try:
            found = bounded_json.loads(body) if body.strip() else {}
        except bounded_json.TooManyValues:
            raise ParseError(_("This has too many values.")) from None
        except ValueError as problem:
            raise ParseError(_("This is not JSON: %(problem)s.") % {"problem": problem}) from None
        if b"\\u0000" in body and _holds_nul(found):
            raise ParseError(_("A text holds a NUL character."))
        return found


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return b"" if data is None else as_json(data)


def as_json(data: Any, option: int = 0) -> bytes:
    return orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS | option)


def _holds_nul(found: Any) -> bool:
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and "\0" in value:
            return True
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
    return False


class Shape(serializers.Serializer[Any]):
    """A serializer that refuses what it does not know. EXAMPLE stands in the schema."""

    EXAMPLE: ClassVar[dict[str, Any]] = {}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError({"non_field_errors": [_("Send a JSON object.")]})
        taken = {name: field for name, field in self.fields.items() if not field.read_only}
        problems: dict[str, list[str]] = {
            name: [_("There is no such field here.")] for name in data if name not in taken
        }
        for name, field in taken.items():
            if name in data and not _right_type(field, data[name]):
                problems[name] = [_("This is of the wrong type.")]
            elif name in data and (most := _exceeded(field, data[name])):
                problems[name] = [_("This is too long: at most %d characters.") % most]
        if problems:
            raise serializers.ValidationError(problems)
        return super().to_internal_value(data)


def _exceeded(field: Any, value: Any) -> int:
    """The length that it is over as it was sent, or 0: DRF would not count the spaces around it."""
    most: int = getattr(field, "max_length", None) or 0
    return most if most and isinstance(value, str) and len(value) > most else 0


def _right_type(field: Any, value: Any) -> bool:
    if isinstance(value, str) and value in getattr(field, "words", ()):
        return True  # it takes them instead of what it takes otherwise
    if value is None or isinstance(field, serializers.BaseSerializer):
        return True  # the field says itself whether it may be null
    kinds = next((k for kind, k in _TAKES.items() if isinstance(field, kind)), (str,))
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return False
    if isinstance(value, list):
        return all(item is not None and _right_type(field.child, item) for item in value)
    return True
