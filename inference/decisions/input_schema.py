"""The schemas that an input may have: an object of numbers, texts and yes-or-no values.

The words that are taken cost a check next to nothing, whatever the input is. A pattern may take
Python's `re` hours for one text, so it is not among them.
"""

from copy import deepcopy
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.errors import BadRequest
from inference.templating import variables
from inference.validation.schemas import check_schemas

MOST_INPUTS = variables.MOST
TYPES = ("string", "number", "integer", "boolean")
_TOP = {"$schema", "$id", "title", "description", "type", "properties", "required"}
_TOP |= {"additionalProperties"}
_DESCRIBE = {"title", "description", "default", "examples", "deprecated"}
_RESTRICT = {"type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_RESTRICT |= {"multipleOf", "minLength", "maxLength"}
_FIELD = "input_schema"


def check_schema(schema: dict[str, Any]) -> None:
    """Raises ValidationError for a schema that is none, or holds what inputs cannot have."""
    _check_bounds(schema)
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict) or not properties:
        raise _fault(_('The schema must be of type "object", with `properties`.'))
    if unknown := sorted(schema.keys() - _TOP):
        raise _fault(_("`%s` is not taken in the schema of an input.") % unknown[0][:80])
    if schema.get("additionalProperties") not in (None, False):
        raise _fault(_("Foreign fields are always refused: leave out `additionalProperties`."))
    if len(properties) > MOST_INPUTS:
        raise _fault(_("A policy has at most %d inputs.") % MOST_INPUTS)
    required = schema.get("required", [])
    if unknown := sorted(set(required) - properties.keys()):
        raise _fault(_("%s is required, and not among the properties.") % unknown[0][:80])
    for name, inner in properties.items():
        if problem := _problem(name, inner, required=name in required):
            raise _fault(f"{name[:80]}: {problem}")


def _fault(text: str) -> ValidationError:
    return ValidationError({_FIELD: text})


def _check_bounds(schema: dict[str, Any]) -> None:
    """Check the bounds of all schemas that the platform reads, and that it is one."""
    # Imported here: it takes a start 0.1 s, with its checkers of formats a whole one.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        check_schemas({"guided_json": deepcopy(schema)})
        Draft202012Validator.check_schema(schema)
    except BadRequest as problem:
        raise _fault(problem.message.replace("guided_json", _FIELD)) from None
    except SchemaError as problem:
        where = ".".join(map(str, problem.path))[:80]
        raise _fault(
            _("This is no JSON schema: %s") % f"{where}: {problem.message[:200]}"
        ) from None


def _problem(name: str, schema: Any, *, required: bool) -> str:
    if not variables.is_name(name):
        return _("A name has a letter, then letters, digits and _; 40 characters at most.")
    if not isinstance(schema, dict) or schema.get("type") not in TYPES:
        return _("The type of an input is one of %s.") % ", ".join(TYPES)
    if unknown := sorted(map(str, schema.keys() - _DESCRIBE - _RESTRICT)):
        return _("`%s` is not taken here: use `enum`, bounds and lengths.") % unknown[0][:80]
    if not required and "default" not in schema:
        return _("An input that is not required needs a `default`.")
    if "default" in schema and not _fits(schema["default"], schema):
        return _("The default does not fit the schema.")
    return ""


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(schema).is_valid(value))
