"""Builds JSON Schemas (2020-12), for bodies from the tables that validate them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from inference.engines.fields import FieldRule, Fields, Schema

Json = dict[str, Any]
STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
BINARY: Schema = {"type": "string", "format": "binary"}
UNIX: Schema = {"type": "integer", "description": "Seconds since 1970."}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Json:
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    kind = schema.get("type")
    if isinstance(kind, str) and not schema.keys() & {"const", "enum"}:
        return {**schema, "type": [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def shape(*may_lack: str, **fields: Schema) -> Json:
    """Returns the schema of an answer with these fields, and others that later versions add."""
    required = [name for name in fields if name not in may_lack]
    return {"type": "object", "required": required, "properties": fields}


def closed(required: Collection[str] = (), **fields: Schema) -> Json:
    """Returns the schema of an object with no other fields."""
    schema = {"type": "object", "properties": fields, "additionalProperties": False}
    return schema | ({"required": sorted(required)} if required else {})


def listing(item: Schema) -> Json:
    """Returns the schema of a page of a list, in OpenAI's shape."""
    ends = or_null(STRING)
    page = {"object": {"const": "list"}, "data": array(item), "has_more": BOOLEAN}
    return shape("first_id", "last_id", **page, first_id=ends, last_id=ends)


def body(
    fields: Mapping[str, Iterable[FieldRule]],
    required: Collection[str],
    nested: Mapping[str, Schema] | None = None,
) -> Json:
    """Returns the schema of a body with these fields. `null` leaves out one that is not required.

    `nested` has closer schemas of fields that are checked elsewhere.
    """
    nested = nested or {}
    properties = {
        name: _field([*rules], nested.get(name), needed=name in required)
        for name, rules in fields.items()
    }
    return closed(required, **properties)


def checked_body(fields: Fields, **beside: Schema) -> Json:
    """Returns the schema of a body for `check_fields`: a rule that holds for null is optional."""
    required = {name for name, rule in fields.items() if not rule.holds(None)}
    properties = {
        name: {**rule.schema, "description": rule.should} for name, rule in fields.items()
    }
    return closed(required, **properties, **{name: or_null(beside[name]) for name in beside})


def single(fields: Fields) -> dict[str, list[FieldRule]]:
    """Returns the fields of a table in which each has one rule."""
    return {name: [rule] for name, rule in fields.items()}


def _field(rules: list[FieldRule], nested: Schema | None, *, needed: bool) -> Json:
    schemas = [nested] if nested else [rule.schema for rule in rules]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    if not needed:
        schema = or_null(schema)
    return {**schema, "description": "; or ".join(rule.should for rule in rules)}


_TEXT = or_null(STRING)
# The errors of inference/errors.py, in OpenAI's shape, for the front ends that write them so.
ERROR = (
    "Error",
    shape(
        error=shape(
            "refusal_id", message=STRING, type=STRING, param=_TEXT, code=_TEXT, refusal_id=STRING
        )
    ),
)
