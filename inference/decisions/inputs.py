"""Inputs of a policy: checked by its schema, and written into its prompt."""

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from inference.decisions.spec import PolicySpec, Value
from inference.errors import BadRequest
from inference.templating import variables
from inference.templating.content import Content
from inference.templating.variables import Variable, WrongVariable

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError as Mismatch

LARGEST = 256 * 1024  # characters of all values together, each as often as it is inserted
FIELD = "input"
_EXACT = 2.0**53  # floats above are whole


class InputCheck:
    """The compiled schema of a policy's input."""

    def __init__(self, spec: PolicySpec) -> None:
        # Imported here: it takes a start 0.1 s, with its checkers of formats a whole one.
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

        schema = {**spec.input_schema, "additionalProperties": False}
        self._validator, self._best_match = Draft202012Validator(schema), best_match
        self._defaults = {
            name: schema["default"] for name, schema in spec.inputs.items() if "default" in schema
        }
        self._names = ", ".join(f"`{name}`" for name in spec.inputs)

    def checked(self, input: Any) -> dict[str, Value]:
        """Returns the input with its defaults. Raises BadRequest, which names the field."""
        if not isinstance(input, dict):
            raise BadRequest(f"`{FIELD}` must be an object with {self._names}", param=FIELD)
        for name, value in input.items():
            _check_value(name, value)
        if problem := self._best_match(self._validator.iter_errors(input)):
            raise self._refusal(problem)
        return self.with_defaults(input)

    def with_defaults(self, input: Mapping[str, Value]) -> dict[str, Value]:
        """Returns a checked input with the values that it leaves out."""
        return {**self._defaults, **input}

    def _refusal(self, problem: "Mismatch") -> BadRequest:
        """Returns the error in words of our own: the library's quote the value."""
        if problem.validator == "required":
            missing = next(name for name in problem.validator_value if name not in problem.instance)
            what = f"`{FIELD}.{missing}` is missing"
            return BadRequest(what, code="missing_input", param=f"{FIELD}.{missing}")
        if problem.validator == "additionalProperties":
            known = problem.schema.get("properties", {})
            foreign = next(name for name in problem.instance if name not in known)[:80]
            what = f"`{FIELD}.{foreign}` is no input of this policy; it has {self._names}"
            return BadRequest(what, code="unknown_input", param=f"{FIELD}.{foreign}")
        name = f"{FIELD}.{problem.path[0]}" if problem.path else FIELD
        rule = f"{problem.validator}: {problem.validator_value!r}"[:200]
        what = f"`{name}` does not fit the policy's schema: {rule}"
        return BadRequest(what, code="invalid_input", param=name)


def _check_value(name: str, value: Any) -> None:
    where = f"{FIELD}.{name[:80]}"
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest(f"`{where}` must be a finite number", code="invalid_input", param=where)
    if isinstance(value, str) and (problem := variables.problem(_one_line(value))):
        raise BadRequest(f"`{where}` {problem}", code="invalid_input", param=where)


def prompt_of(
    spec: PolicySpec, input: Mapping[str, Any], control_tokens: Collection[str] = ()
) -> str:
    """Returns the template with a checked input. Raises BadRequest for a model's control token.

    White space in a text is written as single blanks, so that no value begins a line of its own.
    """
    values = {name: _written(value) for name, value in input.items()}
    content = content_of(spec)
    used = {variable.name: values[variable.name] for variable in content.variables}
    try:
        filled = content.filled(used, LARGEST, control_tokens)
    except WrongVariable as wrong:
        where = f"{FIELD}.{wrong.name}"
        raise BadRequest(wrong.message, code="invalid_input", param=where) from None
    prompt: str = filled["prompt"]
    return prompt


def content_of(spec: PolicySpec) -> Content:
    """Returns the template as one of `inference/templating`, whose checks and rules hold for it."""
    used = dict.fromkeys(variables.placeholders(spec.template))
    texts = [Variable(name, max_length=variables.LONGEST) for name in used]
    return Content(prompt=spec.template, variables=texts)


def _written(value: Any) -> str:
    return _one_line(value) if isinstance(value, str) else orjson.dumps(value).decode()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def sample(spec: PolicySpec) -> dict[str, Value]:
    """Returns an input for a trial: the neutral values, and others that the schema names."""
    return {name: spec.neutral.get(name, _any(schema)) for name, schema in spec.inputs.items()}


def _any(schema: Mapping[str, Any]) -> Value:
    value: Value
    kind = schema.get("type")
    if "default" in schema or "const" in schema:
        value = schema.get("default", schema.get("const"))
    elif schema.get("enum"):
        value = schema["enum"][0]
    elif kind == "string":
        value = "x" * max(1, int(schema.get("minLength", 0)))
    else:
        value = False if kind == "boolean" else _number(schema, whole=kind == "integer")
    return value


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    least: float | None = schema.get("minimum", schema.get("exclusiveMinimum"))
    most: float | None = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is not None and most is not None:
        middle = least / 2 + most / 2
        return _floor(middle) if whole else middle
    if least is None:
        return 0 if most is None or most > 0 else _floor(most) - 1
    return 0 if least < 0 else _floor(least) + 1


def _floor(number: float) -> float:
    """Returns the whole number below; as a float where JSON has no such integer."""
    return math.floor(number) if abs(number) < _EXACT else number
