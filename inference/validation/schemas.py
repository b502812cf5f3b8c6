"""Bounds on the JSON schemas in a request, which an engine turns into a grammar.

Every check is linear in the schema's length: it runs on the web process's event loop.
"""

from functools import partial
from typing import Any

import orjson

from inference.engines.prompt_bound import inside
from inference.errors import BadRequest
from inference.validation.pattern_bounds import PatternBudget
from inference.validation.schema_bounds import MOST_CHOICES, check_bounds, check_choices, nodes
from inference.validation.schema_bounds import Body as Body
from inference.validation.schema_readings import check_readings

DEEPEST = 64  # engines walk what they get by recursion: deeper, and one dies with all its answers
LONGEST_SCHEMA = 64 * 1024  # bytes of JSON
LONGEST_TOOLS = 256 * 1024
MOST_HOPS = 8  # from a `$ref` to the schema that it means

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_LONGEST = {
    "response_format": LONGEST_SCHEMA,
    "guided_json": LONGEST_SCHEMA,
    "guided_choice": LONGEST_SCHEMA,
    "structured_outputs": LONGEST_SCHEMA,
    "tools": LONGEST_TOOLS,
}


def check_schemas(
    body: Body, most_choices: int = MOST_CHOICES, most_readings: int | None = None
) -> None:
    """Check the schemas in a body. Raises BadRequest.

    All lengths come first: a schema that is too long is not walked. `most_choices` is the engine's
    bound for one place, `most_readings` its bound for one text if it follows each reading by
    itself.
    """
    schemas = {name: body[name] for name in _LONGEST if body.get(name) is not None}
    for name, value in schemas.items():
        if len(orjson.dumps(value)) > _LONGEST[name]:
            most = _LONGEST[name]
            raise BadRequest(f"`{name}` must be at most {most} bytes of JSON", param=name)
    budget = PatternBudget()
    for name, value in schemas.items():
        _check_references(name, value)
        roots = _roots(name, value)
        if any(map(_goes_round, roots)):
            what = f"over more than {MOST_HOPS} others"
            raise BadRequest(f"a `$ref` in `{name}` leads to no schema, or {what}", param=name)
        check_bounds(name, value, budget)
        for root in roots:
            check_choices(name, root, partial(_target, root), most_choices)
            if most_readings is not None:
                check_readings(name, root, partial(_target, root), most_readings)


def _check_references(name: str, value: Any) -> None:
    """Refuse addresses, which an engine might fetch. Some follow them outside of schemas, too."""
    references = ((word, node.get(word)) for node in nodes(value) for word in _REFERENCES)
    for word, reference in references:
        if isinstance(reference, str) and not reference.startswith("#"):
            what = f"a `{word}` in `{name}` names another document"
            raise BadRequest(f"{what}: only local references (`#/…`) are taken", param=name)


def _roots(name: str, value: Any) -> list[Any]:
    """Returns the schemas in the field, from which their `$ref`s start."""
    if name == "tools":
        functions = [tool.get("function") for tool in value if isinstance(tool, dict)]
        return [each.get("parameters") for each in functions if isinstance(each, dict)]
    if name == "response_format":
        inner = value.get("json_schema")
        return [value.get("schema"), inner.get("schema") if isinstance(inner, dict) else None]
    if name == "structured_outputs":
        return [value.get("json"), value.get("choice")]
    return [value]


def _goes_round(root: Any) -> bool:
    """Returns whether a chain of `$ref`s is endless or too long; llama.cpp crashes on it."""
    hops: dict[int, int] = {}
    return any(_hops(root, node, hops) > MOST_HOPS for node in nodes(root))


def _hops(root: Any, node: Any, known: dict[int, int]) -> int:
    """Returns the references from this node to a schema without one, and adds to `known`."""
    path: list[int] = []
    while len(path) <= MOST_HOPS and id(node) not in known and (ref := _ref(node)):
        path.append(id(node))
        node = _target(root, ref)
    hops = known.get(id(node), 0)
    for each in reversed(path):
        hops += 1
        known[each] = hops
    return hops


def _ref(node: Any) -> str:
    ref = node.get("$ref") if isinstance(node, dict) else None
    return ref if isinstance(ref, str) and ref.startswith("#") else ""


def _target(root: Any, ref: str) -> Any:
    node = root
    for name in ref.split("/", DEEPEST + 1)[1:]:
        if isinstance(node, list) and name.isascii() and name.isdigit() and len(name) < 7:
            node = node[int(name)] if int(name) < len(node) else None
        else:
            node = node.get(name) if isinstance(node, dict) else None
    return node


def deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [inner for outer in level for inner in inside(outer) if type(inner) in (dict, list)]
        if not level:
            return False
    return True
