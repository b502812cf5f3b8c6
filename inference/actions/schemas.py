"""JSON Schemas of an action's arguments and answer: what they may contain, and checks by them.

A schema comes from a tenant, a value from a person or a service. Both are bounded, so that a check
takes milliseconds: no references elsewhere, few schemas for each value, and patterns that read a
short text in few ways, since Python's backtracking tries all of them and holds up its process.
"""

import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.validation.pattern_syntax import (
    Alternatives,
    Characters,
    Node,
    Repetition,
    Sequence,
    WrongPattern,
    parsed,
)

Schema = dict[str, Any]
LARGEST, DEEPEST = 32 * 1024, 12  # bytes and levels of a schema
LONGEST_PATTERN, LONGEST_MATCHED = 200, 1_000  # characters: of a pattern, of a text that has one
MOST_WAYS = 2_000  # in which a pattern may read a text
MOST_CHECKS = 100_000  # schemas times values
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef", "$id", "patternProperties")
_QUADRATIC = ("uniqueItems", "unevaluatedItems", "unevaluatedProperties")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\(\?P=")
_LOOKS_AROUND = re.compile(r"\(\?(?!:|P<)")  # or changes how the pattern is read


def check(schema: Any) -> None:
    """Raises ValidationError, with a text for the person who wrote the schema."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ValidationError(_('The schema must be an object with "type": "object".'))
    if len(orjson.dumps(schema)) > LARGEST:
        raise ValidationError(_("The schema is longer than %d bytes.") % LARGEST)
    for node, depth in _nodes(schema):
        _check_node(node, depth)
    # Imported here: it takes a start 0.1 s, with its checkers of formats a whole one.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as problem:
        text = _("The schema is wrong at %(path)s: %(problem)s")
        fields = {"path": problem.json_path, "problem": problem.message[:200]}
        raise ValidationError(text % fields) from None


def problem(schema: Schema, value: Any) -> str:
    """Returns where and by which rule the value differs, "" if it fits. The value is not quoted."""
    if not isinstance(value, dict):
        return "$: object"
    if _count(schema) * _count(value) > MOST_CHECKS:
        return "$: too many values"
    first = next(_validator()(schema).iter_errors(value), None)
    return f"{first.json_path}: {first.validator}"[:200] if first else ""


def _count(value: Any) -> int:
    """Returns how many values there are in a value, itself among them, however deep they are."""
    count, waiting = 0, [value]
    while waiting:
        node = waiting.pop()
        count += 1
        if isinstance(node, dict | list):
            waiting += node.values() if isinstance(node, dict) else node
    return count


@cache
def _validator() -> Any:
    """Returns the class of checks, whose patterns see short texts alone."""
    from jsonschema import Draft202012Validator, validators
    from jsonschema.exceptions import ValidationError as Mismatch

    def match(_validator: Any, pattern: str, value: Any, _schema: Schema) -> Iterator[Mismatch]:
        if isinstance(value, str) and not _matches(pattern, value):
            yield Mismatch("the text does not match")

    return validators.extend(Draft202012Validator, {"pattern": match})


def _matches(pattern: str, text: str) -> bool:
    return len(text) <= LONGEST_MATCHED and re.search(pattern, text) is not None


def _check_node(node: dict[str, Any], depth: int) -> None:
    if depth > DEEPEST:
        raise ValidationError(_("The schema has more than %d levels.") % DEEPEST)
    for name in _REFERENCES:
        if name in node and not isinstance(node[name], dict | bool):
            raise ValidationError(_("A schema of an action has no %s.") % name)
    if isinstance(node.get("patternProperties"), dict):
        raise ValidationError(_("A schema of an action has no %s.") % "patternProperties")
    for name in _QUADRATIC:
        if node.get(name) not in (None, False) and not isinstance(node[name], dict):
            raise ValidationError(_("A schema of an action has no %s.") % name)
    if isinstance(pattern := node.get("pattern"), str):
        _check_pattern(pattern)


def _check_pattern(pattern: str) -> None:
    strange = _LOOKS_AROUND.search(pattern) or _BACK_REFERENCE.search(pattern)
    if len(pattern) > LONGEST_PATTERN or strange or _ways_of(pattern) > MOST_WAYS:
        text = _(
            "The pattern %(pattern)s is too costly: at most %(most)d characters, one * or +, few "
            "alternatives."
        )
        raise ValidationError(text % {"pattern": pattern[:60], "most": LONGEST_PATTERN})
    try:
        re.compile(pattern)
    except re.error:
        raise _wrong(pattern) from None


def _wrong(pattern: str) -> ValidationError:
    return ValidationError(_("The pattern %s is wrong.") % pattern[:60])


def _ways_of(pattern: str) -> float:
    try:
        return _ways(parsed(pattern))
    except (WrongPattern, RecursionError):
        raise _wrong(pattern) from None


def _ways(node: Node) -> float:
    """Returns in how many ways, at most, a pattern reads a text from one of its characters on."""
    match node:
        case Characters():
            return 1
        case Sequence(parts):
            return math.prod(map(_ways, parts))
        case Alternatives(parts):
            return sum(map(_ways, parts))
        case Repetition(inner, least, most):
            once, most = _ways(inner), LONGEST_MATCHED if most is None else most
            return most - least + 1 if once == 1 else _power(once, most)


def _power(once: float, times: int) -> float:
    return once**times if times * math.log2(once) < 64 else math.inf


def _nodes(value: Any, depth: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    if depth > DEEPEST + 2:
        raise ValidationError(_("The schema has more than %d levels.") % DEEPEST)
    if isinstance(value, dict):
        yield value, depth
    below = value.values() if isinstance(value, dict) else value
    for each in below if isinstance(value, dict | list) else ():
        yield from _nodes(each, depth + 1)
