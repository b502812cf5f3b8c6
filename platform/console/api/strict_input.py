"""Strict input: no unknown fields, no coerced types, no NUL characters."""

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
    serializers.FloatField: (int, float),
    serializers.DecimalField: (str,),
    serializers.ListField: (list,),
    serializers.DictField: (dict,),
    serializers.JSONField: (str, int, float, bool),
}


class JSONParser(BaseParser):
    """Refuses bodies that are not JSON (RFC 8259), lone surrogates and NUL characters."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], *args: Any, **kwargs: Any) -> Any:
        body = stream.read()
        try:
            document = bounded_json.shallow(body) if body.strip() else {}
        except bounded_json.TooManyValues:
            raise ParseError(_("This has too many values.")) from None
        except ValueError as problem:
            raise ParseError(_("This is not JSON: %(problem)s.") % {"problem": problem}) from None
        if b"\\u0000" in body and bounded_json.holds_nul(document):
            raise ParseError(_("A text holds a NUL character."))
        return document


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return b"" if data is None else as_json(data)


def as_json(data: Any, option: int = 0) -> bytes:
    return orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS | option)


class Shape(serializers.Serializer[Any]):
    """A serializer that refuses unknown fields and wrong types. EXAMPLE is shown in the schema."""

    # Fields of answers that it leaves out get a value of their type there.
    EXAMPLE: ClassVar[dict[str, Any]] = {}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError({"non_field_errors": [_("Send a JSON object.")]})
        writable = {name: field for name, field in self.fields.items() if not field.read_only}
        problems: dict[str, list[str]] = {
            name: [_("There is no such field here.")] for name in data if name not in writable
        }
        for name, field in writable.items():
            if name in data and not _right_type(field, data[name]):
                problems[name] = [_("This is of the wrong type.")]
            elif name in data and (most := _exceeded_length(field, data[name])):
                problems[name] = [_("This is too long: at most %d characters.") % most]
        if problems:
            raise serializers.ValidationError(problems)
        return super().to_internal_value(data)


# Docstrings of shapes are in the schema; Row is for what nearly every row has.
class Row(Shape):
    id = serializers.UUIDField()
    created_at = serializers.DateTimeField()


def _exceeded_length(field: Any, value: Any) -> int:
    """Returns the greatest length if the text, with its outer spaces, is longer; else 0."""
    most: int = getattr(field, "max_length", None) or 0
    return most if most and isinstance(value, str) and len(value) > most else 0


def _right_type(field: Any, value: Any) -> bool:
    if isinstance(value, str) and value in getattr(field, "words", ()):
        return True  # a field takes its words besides values of its type
    if value is None or isinstance(field, serializers.BaseSerializer):
        return True  # the field says itself whether it may be null
    kinds = next((k for kind, k in _TAKES.items() if isinstance(field, kind)), (str,))
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return False
    if isinstance(value, list):
        return all(item is not None and _right_type(field.child, item) for item in value)
    return True
