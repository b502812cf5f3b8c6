"""The schemas of nested fields, from the tables of the checks beside it, for the document."""

from inference.engines.capabilities import MEDIA
from inference.engines.fields import FORMAT, OBJECT, STRING, Schema
from inference.validation.messages import BESIDE, CALLS, HOLDS, ROLES
from inference.validation.tools import MODES, NAME

_OR_NULL: Schema = {"type": ["string", "null"]}
_FLAG: Schema = {"type": ["boolean", "null"]}


def message() -> Schema:
    content = [STRING.schema, {"type": "array", "items": {"anyOf": parts()}}, {"type": "null"}]
    calls: Schema = {"type": ["array", "null"], "items": OBJECT.schema}
    return {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"type": "string", "enum": sorted(ROLES)},
            "content": {"anyOf": content},
            "name": _OR_NULL,
            "tool_call_id": _OR_NULL,
            **dict.fromkeys(CALLS[:1], calls),
        },
    }


def parts() -> list[Schema]:
    """Returns the schemas of all parts of a content. Which a model takes, its engine says."""
    texts = [_part(kind, STRING.schema) for kind in ("text", "refusal")]
    return [*texts, *(_part(kind, _medium(kind)) for kind in MEDIA)]


def _part(kind: str, value: Schema) -> Schema:
    beside: dict[str, Schema] = {name: {} for name in sorted(BESIDE)}
    return {
        "type": "object",
        "required": ["type", kind],
        "properties": {**beside, "type": {"const": kind}, kind: value},
        "additionalProperties": False,
    }


def _medium(kind: str) -> Schema:
    first, *others = HOLDS[kind]
    is_url = first == "url"
    source = {"type": "string", "pattern": "^data:"} if is_url else STRING.schema
    fields = {first: source, **dict.fromkeys(others, STRING.schema)}
    whole: Schema = {
        "type": "object",
        "required": [first],
        "properties": fields,
        "additionalProperties": False,
    }
    return {"anyOf": [source, whole]} if is_url else whole


def tool() -> Schema:
    """Returns the schema of a function; kinds of engines may take other types of tools."""
    function = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
            "description": _OR_NULL,
            "parameters": {"type": ["object", "null"]},
            "strict": _FLAG,
        },
    }
    fields = {"type": STRING.schema, "function": function}
    return {"type": "object", "required": ["type"], "properties": fields}


def tool_choice() -> Schema:
    return {"anyOf": [{"type": "string", "enum": [*MODES]}, OBJECT.schema]}


def response_format() -> Schema:
    named = {"name": STRING.schema, "schema": OBJECT.schema, "strict": _FLAG}
    inner = {"type": ["object", "null"], "required": ["schema"], "properties": named}
    fields = {
        **FORMAT.schema["properties"],
        "json_schema": inner,
        "schema": {"type": ["object", "null"]},
    }
    return {**FORMAT.schema, "properties": fields, "additionalProperties": False}
