"""Checks of schemas with `strict`: true, which promises that the answer conforms to them.

Some engines ignore the parts of a schema that they cannot turn into a grammar. For them a strict
schema may have no such part (`Engine.enforces`).
"""

from collections.abc import Iterator
from typing import Any

from inference.engines.base import Engine
from inference.errors import BadRequest
from inference.validation.schema_bounds import Body, listed, required

# Words that restrict what is valid (JSON Schema 2020-12 and drafts before it). Others describe.
_RESTRICTS = frozenset(
    {
        "$dynamicRef",
        "$recursiveRef",
        "$ref",
        "additionalItems",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "contains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "if",
        "items",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "not",
        "oneOf",
        "pattern",
        "patternProperties",
        "prefixItems",
        "properties",
        "propertyNames",
        "required",
        "then",
        "type",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_FORMATS = ("date", "time", "date-time", "uuid")
_ALONE = ("$ref", "anyOf", "allOf", "const", "enum")  # nothing beside them is read but `type`
_MAPS, _LISTS = ("properties", "$defs", "definitions"), ("anyOf", "allOf", "prefixItems")


def check_enforced(schema: Body, where: str, engine: Engine) -> None:
    """Raises BadRequest for the first word that the engine would ignore."""
    if engine.enforces is None:
        return
    for node in _schemas(schema):
        if word := _ignored(node, engine.enforces):
            raise BadRequest(
                f"`{where}`: this model's engine cannot enforce {word}, as `strict` promises: "
                "leave it out, or leave `strict` out",
                code="unsupported_value",
                param=where,
            )


def _ignored(node: Body, enforced: frozenset[str]) -> str:
    """Returns what the engine would ignore, in words for the reader; "" for nothing."""
    words = {word for word in node.keys() & _RESTRICTS if node[word] is not None}
    if node.get("uniqueItems") is False:
        words.discard("uniqueItems")
    for alone in _ALONE:
        if alone in words and (beside := sorted(words - {alone, "type"})):
            return f"`{beside[0]}` beside `{alone}`"
    if unknown := sorted(words - enforced):
        return f"`{unknown[0]}`"
    if (bounds := sorted(words & _BOUNDS)) and not _is_integer(node.get("type")):
        return f"`{bounds[0]}` of anything but an integer"
    if nameless := required(node) - _names_of_properties(node):
        return f"`required` of `{min(nameless)[:40]}`, which is none of `properties`"
    if "format" in words and node["format"] not in _FORMATS:
        return f"the format `{str(node['format'])[:40]}`"
    if "pattern" in words and (lengths := sorted(words & {"minLength", "maxLength", "format"})):
        return f"`{lengths[0]}` beside `pattern`"
    return ""


def _names_of_properties(node: Body) -> set[str]:
    properties = node.get("properties")
    return set(properties) if isinstance(properties, dict) else set()


def _is_integer(kind: Any) -> bool:
    kinds = kind if isinstance(kind, list) else [kind]
    return "integer" in kinds and "number" not in kinds


def _schemas(schema: Any) -> Iterator[Body]:
    """Yields each schema. Data are skipped: a property may be called `not`."""
    rest = [schema]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            yield node
            rest += _inside(node)


def _inside(node: Body) -> Iterator[Any]:
    for word in _MAPS:
        if isinstance(inner := node.get(word), dict):
            yield from inner.values()
    for word in _LISTS:
        yield from listed(node, word)
    items = node.get("items")
    yield from items if isinstance(items, list) else (items,)
    yield node.get("additionalProperties")
