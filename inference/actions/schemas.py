"""JSON Schemas of an action's arguments and answer: what they may contain, and checks by them.

A schema comes from a tenant, a value from a person or a service. Both are bounded, so that a check
takes milliseconds: no references elsewhere, and patterns with one open repetition at most, which
Python's backtracking reads in quadratic time.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

Schema = dict[str, Any]
LARGEST, DEEPEST = 32 * 1024, 12  # bytes and levels of a schema
LONGEST_PATTERN = 200
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef", "$id", "patternProperties")
_GROUP_REPEATED = re.compile(r"\)\s*[*+{?]")
_OPEN_REPETITION = re.compile(r"(?<!\\)(?:\\\\)*[*+]|\{\d+,\}")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\(\?P=")


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
    from jsonschema import Draft202012Validator

    if not isinstance(value, dict):
        return "$: object"
    errors = Draft202012Validator(schema).iter_errors(value)
    first = next(errors, None)
    return f"{first.json_path}: {first.validator}"[:200] if first else ""


def _check_node(node: dict[str, Any], depth: int) -> None:
    if depth > DEEPEST:
        raise ValidationError(_("The schema has more than %d levels.") % DEEPEST)
    for name in _REFERENCES:
        if name in node and not isinstance(node[name], dict | bool):
            raise ValidationError(_("A schema of an action has no %s.") % name)
    if isinstance(node.get("patternProperties"), dict):
        raise ValidationError(_("A schema of an action has no %s.") % "patternProperties")
    if isinstance(pattern := node.get("pattern"), str):
        _check_pattern(pattern)


def _check_pattern(pattern: str) -> None:
    open_ones = len(_OPEN_REPETITION.findall(pattern))
    risky = _GROUP_REPEATED.search(pattern) or _BACK_REFERENCE.search(pattern)
    if len(pattern) > LONGEST_PATTERN or risky or open_ones > 1:
        text = _(
            "The pattern %(pattern)s is too costly: at most %(most)d characters, one * or +, no "
            "repeated group."
        )
        raise ValidationError(text % {"pattern": pattern[:60], "most": LONGEST_PATTERN})
    try:
        re.compile(pattern)
    except re.error:
        raise ValidationError(_("The pattern %s is wrong.") % pattern[:60]) from None


def _nodes(value: Any, depth: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    if depth > DEEPEST + 2:
        raise ValidationError(_("The schema has more than %d levels.") % DEEPEST)
    if isinstance(value, dict):
        yield value, depth
    below = value.values() if isinstance(value, dict) else value
    for each in below if isinstance(value, dict | list) else ():
        yield from _nodes(each, depth + 1)
