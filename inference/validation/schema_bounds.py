"""Bounds of a JSON schema's counts, ranges, choices and patterns.

Engines write counted repetitions out, follow all choices that fit at once, and copy schemas that
apply to several types. Some hang on a least above its most (llama.cpp).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

from inference.engines.prompt_bound import inside
from inference.errors import BadRequest
from inference.validation.pattern_bounds import PatternBudget, WrongPattern, check_pattern

Body = dict[str, Any]
Target = Callable[[str], Any]  # resolves a local `$ref`; None if it leads nowhere
MOST_REQUIRED = 2000  # least length, items or properties: llama.cpp's own bound
MOST_COUNTED = 10_000  # a larger most is no limit to anybody, and is not passed on
LARGEST_PRODUCT = 1_000_000  # items of arrays in arrays; of required ones MOST_REQUIRED
MOST_COPIES = 64  # of a schema below several types that hold schemas
LONGEST_NAME = 256  # characters: llama.cpp crashes on tens of thousands
LONGEST_REFERENCE = 1000
DEEPEST_CHOICE = 200  # choices within choices, also by `$ref`
MOST_CHOICES = 2000  # at one place; an engine may take fewer
_COUNTS = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minContains", "maxContains"),
)
_HOLDS_SCHEMAS = ("object", "array")


def check_bounds(name: str, value: Any, budget: PatternBudget) -> None:
    """Check all schemas in the field, and delete a most that is no limit. Raises BadRequest."""
    try:
        for node in nodes(value):
            _check_names(node)
            _check_counts(node)
            _check_range(node)
            _check_node_patterns(node, budget)
        _check_products(value)
    except _Wrong as problem:
        raise BadRequest(f"{problem} in `{name}`", param=name) from None
    except WrongPattern as problem:
        raise BadRequest(f"a pattern in `{name}` {problem}", param=name) from None


class _Wrong(Exception):
    """The message is followed by "in" and the field."""


def _check_names(node: Body) -> None:
    """Check the names of properties, definitions, functions and schemas, and the references."""
    name, ref = node.get("name"), node.get("$ref")
    longest = max(map(len, node), default=0)
    if longest > LONGEST_NAME or (isinstance(name, str) and len(name) > LONGEST_NAME):
        raise _Wrong(f"a name is longer than {LONGEST_NAME} characters")
    if isinstance(ref, str) and len(ref) > LONGEST_REFERENCE:
        raise _Wrong(f"a `$ref` is longer than {LONGEST_REFERENCE} characters")


# Numbers -----------------------------------------------------------------------------------------
def _check_counts(node: Body) -> None:
    for least_name, most_name in _COUNTS:
        least, most = _count(node, least_name), _count(node, most_name)
        if least is not None and least > MOST_REQUIRED:
            raise _Wrong(f"a `{least_name}` is above {MOST_REQUIRED}")
        if least is not None and most is not None and least > most:
            raise _Wrong(f"a `{least_name}` of {least} is above its `{most_name}` of {most}")
        if most is not None and most > MOST_COUNTED:
            del node[most_name]


def _count(node: Body, name: str) -> int | None:
    value = node.get(name)
    if not _is_number(value):
        return None
    if value < 0 or not math.isfinite(value) or value != int(value):
        raise _Wrong(f"a `{name}` is no whole number from 0")
    return int(value)


def _check_range(node: Body) -> None:
    least, above = _number(node, "minimum"), _number(node, "exclusiveMinimum")
    most, below = _number(node, "maximum"), _number(node, "exclusiveMaximum")
    open_ended = (least is None or (above is not None and above >= least)) or (
        most is None or (below is not None and below <= most)
    )
    low = max((n for n in (least, above) if n is not None), default=-math.inf)
    high = min((n for n in (most, below) if n is not None), default=math.inf)
    if low > high or (low == high and open_ended):
        raise _Wrong("a least number is above its most")
    if (step := _number(node, "multipleOf")) is not None and step <= 0:
        raise _Wrong("a `multipleOf` is not above 0")


def _number(node: Body, name: str) -> float | int | None:
    value = node.get(name)
    return value if _is_number(value) else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


# Patterns ----------------------------------------------------------------------------------------
def _check_node_patterns(node: Body, budget: PatternBudget) -> None:
    pattern, by_pattern = node.get("pattern"), node.get("patternProperties")
    patterns = [pattern] if isinstance(pattern, str) else []
    patterns += list(by_pattern) if isinstance(by_pattern, dict) else []
    for each in patterns:
        check_pattern(each, budget)


# Choices at one place ----------------------------------------------------------------------------
def check_choices(name: str, root: Any, target: Target, most: int) -> None:
    """Count the choices at one place, references included. Raises BadRequest."""
    widths: dict[int, int] = {}
    many = len(root) > most if isinstance(root, list) else False
    if many or any(_width(node, target, widths, 0) > most for node in nodes(root)):
        what = f"there are more than {most} choices at one place in `{name}`"
        raise BadRequest(what, param=name)


def _width(node: Any, target: Target, widths: dict[int, int], depth: int) -> int:
    if not isinstance(node, dict):
        return 1
    if id(node) in widths:
        return widths[id(node)]
    if depth > DEEPEST_CHOICE:
        return MOST_CHOICES + 1
    widths[id(node)] = 1  # one that leads to itself
    ref = node.get("$ref")
    words = ("anyOf", "oneOf", "allOf")
    alternatives = [each for word in words for each in listed(node, word)]
    inner = [target(ref)] if isinstance(ref, str) else alternatives
    width = sum(_width(each, target, widths, depth + 1) for each in inner)
    widths[id(node)] = max(width, own_choices(node))
    return widths[id(node)]


def own_choices(node: Body) -> int:
    """Returns the choices in a schema itself: its values, or properties that may be left out.

    Any of these may come next.
    """
    properties = node.get("properties")
    optional = properties.keys() - required(node) if isinstance(properties, dict) else ()
    return max(1, len(listed(node, "enum")), len(optional))


def required(node: Body) -> set[str]:
    return {name for name in listed(node, "required") if isinstance(name, str)}


def listed(node: Body, word: str) -> list[Any]:
    value = node.get(word)
    return value if isinstance(value, list) else []


# Products ----------------------------------------------------------------------------------------
def _check_products(value: Any) -> None:
    """Check arrays in arrays, and types that each copy all schemas below them."""
    level: list[tuple[Any, int, int, int]] = [(value, 1, 1, 1)]
    while level:
        below: list[tuple[Any, int, int, int]] = []
        for node, least, most, copies in level:
            if isinstance(node, dict):
                items = _factor(node, "minItems")
                least, most = least * items, most * max(items, _factor(node, "maxItems"))
                copies *= max(1, sum(kind in _HOLDS_SCHEMAS for kind in listed(node, "type")))
            if least > MOST_REQUIRED or most > LARGEST_PRODUCT:
                raise _Wrong("arrays in arrays have too many items")
            if copies > MOST_COPIES:
                raise _Wrong("too many types that hold others stand in each other")
            below += ((inner, least, most, copies) for inner in inside(node))
        level = below


def _factor(node: Body, name: str) -> int:
    value = node.get(name)
    return max(1, int(value)) if _is_number(value) else 1


# Walking JSON ------------------------------------------------------------------------------------
def nodes(value: Any) -> Iterable[Body]:
    level = [value]
    while level:
        yield from (node for node in level if isinstance(node, dict))
        level = [inner for outer in level for inner in inside(outer)]
