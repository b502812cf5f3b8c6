"""Examples in the schema: fields that a shape's EXAMPLE leaves out, by their names or types."""

from typing import Any

from rest_framework import serializers as s

from console.api.strict_input import Shape

_UUID = "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e"
_BY_NAME = {
    "actor": f"member:{_UUID}",
    "answer": "This data is needed for a contract that still runs.",
    "created_by": f"member:{_UUID}",
    "email": "bob@acme.example",
    "engine": "gpu-1",
    "expires_at": "2026-05-01T08:00:00Z",
    "model": "deepseek-r1",
    "name": "build server",
    "pool": "here",
    "reason": "Case 4711",
    "requested_by": f"member:{_UUID}",
    "route": "/v1/chat/completions",
    "tenant": "acme",
}
_TEXTS = (s.CharField, s.DateTimeField)  # those that a name decides
_BY_TYPE: dict[type[s.Field[Any, Any, Any, Any]], Any] = {
    s.UUIDField: _UUID,
    s.DateTimeField: "2026-01-31T08:00:00Z",
    s.DateField: "2026-01-31",
    s.BooleanField: False,
    s.IntegerField: 12,
    s.FloatField: 4.2,
    s.DictField: {},
}


def of_body(shape: type[Shape]) -> dict[str, Any]:
    """Returns the EXAMPLE of a body, with all fields that have to be sent."""
    fields = shape().fields.items()
    return {name: _of(name, field) for name, field in fields if field.required} | shape.EXAMPLE


def of_answer(shape: Any) -> Any:
    """Returns the EXAMPLE of an answer, with all its fields."""
    if isinstance(shape, s.ListSerializer):
        return [of_answer(shape.child)]
    return {name: _of(name, field) for name, field in shape.fields.items()} | shape.EXAMPLE


def _of(name: str, field: s.Field[Any, Any, Any, Any]) -> Any:
    if isinstance(field, s.BaseSerializer):
        return of_answer(field)
    if field.allow_null:
        return None
    if isinstance(field, s.ListField):
        return [_of("", field.child)] if isinstance(field.child, s.ChoiceField) else []
    if isinstance(field, s.ChoiceField):
        return next(iter(field.choices))
    if name in _BY_NAME and isinstance(field, _TEXTS):
        return _BY_NAME[name]
    return next((value for kind, value in _BY_TYPE.items() if isinstance(field, kind)), "")
