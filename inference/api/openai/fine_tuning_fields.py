"""Fields of a request for fine-tuning, checked, and OpenAI's hyperparameters in the trainer's."""

from collections.abc import Mapping
from typing import Any

from inference.api.openai import stored_objects
from inference.engines.fields import METADATA, FieldRule, Fields, Schema, optional
from inference.errors import BadRequest, must_be
from inference.jobs.creating import SUFFIX

LEARNING_RATE = 4e-4  # the trainer's for adapters, which a multiplier multiplies
_TEXT = FieldRule(
    lambda v: isinstance(v, str) and 0 < len(v) <= 120,
    "a text",
    {"type": "string", "minLength": 1, "maxLength": 120},
)
FIELDS: Fields = {
    "model": _TEXT,
    "training_file": stored_objects.FILE_ID,
    "validation_file": optional(stored_objects.FILE_ID),
    "suffix": optional(
        FieldRule(
            lambda v: isinstance(v, str) and len(v) <= SUFFIX,
            f"a text of at most {SUFFIX} characters",
            {"type": "string", "maxLength": SUFFIX},
        )
    ),
    "seed": optional(
        FieldRule(
            lambda v: type(v) is int and 0 <= v < 2**31,
            "a number from 0 to 2147483647",
            {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        )
    ),
    "metadata": optional(METADATA),
}
_OTHERS = ("method", "hyperparameters", "integrations")


def _whole(most: int) -> FieldRule:
    return FieldRule(
        lambda v: type(v) is int and 0 < v <= most,
        f"auto or a number from 1 to {most}",
        {"type": "integer", "minimum": 1, "maximum": most},
    )


def _positive(most: int) -> FieldRule:
    return FieldRule(
        lambda v: type(v) in (int, float) and 0 < v <= most,
        f"auto or a number from 0 to {most}",
        {"type": "number", "exclusiveMinimum": 0, "maximum": most},
    )


HYPERPARAMETERS: Fields = {
    "n_epochs": _whole(1000),
    "batch_size": _whole(4096),
    "learning_rate_multiplier": _positive(1000),
}


def beside() -> dict[str, Schema]:
    """Returns the schemas of the fields that `checked` and `hyperparameters` look at."""
    of_names = {
        name: {"anyOf": [{"const": "auto"}, rule.schema, {"type": "null"}]}
        for name, rule in HYPERPARAMETERS.items()
    }
    values: Schema = {"type": "object", "properties": of_names, "additionalProperties": False}
    supervised: Schema = {
        "type": ["object", "null"],
        "properties": {"hyperparameters": optional(FieldRule(bool, "", values)).schema},
    }
    method: Schema = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"const": "supervised"}, "supervised": supervised},
        "additionalProperties": False,
    }
    none: Schema = {"type": "array", "items": {}, "maxItems": 0}
    return dict(zip(_OTHERS, (method, values, none), strict=True))


def checked(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the body. Raises BadRequest."""
    stored_objects.check_fields(body, FIELDS, _OTHERS)
    if body.get("integrations"):
        what = "`integrations` are not supported: metrics are in the job's events and checkpoints"
        raise BadRequest(what, param="integrations", code="unsupported_value")
    return body


def hyperparameters(body: Mapping[str, Any]) -> dict[str, int | float]:
    """Returns those that are not `auto`. Raises BadRequest."""
    method = body.get("method") or {"type": "supervised"}
    if not isinstance(method, dict):
        raise must_be("method", "an object")
    if method.get("type") != "supervised":
        what = "`method.type` must be supervised: dpo and reinforcement are not supported here"
        raise BadRequest(what, param="method.type", code="unsupported_value")
    stored_objects.check_known(method, ("type", "supervised"))
    supervised = _object(method, "supervised", "method.supervised")
    own = _object(supervised, "hyperparameters", "method.supervised.hyperparameters")
    values = {**_object(body, "hyperparameters", "hyperparameters"), **own}
    stored_objects.check_known(values, HYPERPARAMETERS)
    chosen = {name: value for name, value in values.items() if value not in (None, "auto")}
    for name, value in chosen.items():
        if not HYPERPARAMETERS[name].holds(value):
            raise must_be(name, HYPERPARAMETERS[name].should)
    return chosen


def _object(fields: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    """Returns the object of a field, {} without one. Raises BadRequest."""
    value = fields.get(name) or {}
    if not isinstance(value, dict):
        raise must_be(path, "an object")
    return value


def trainer_parameters(values: Mapping[str, int | float]) -> dict[str, int | float]:
    """Returns the trainer's parameters (trainer/kinds.py)."""
    names = {"n_epochs": "epochs", "batch_size": "batch"}
    parameters = {names[name]: value for name, value in values.items() if name in names}
    if multiplier := values.get("learning_rate_multiplier"):
        parameters["learning_rate"] = min(1.0, LEARNING_RATE * multiplier)
    return parameters


def shown_hyperparameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns OpenAI's names for the trainer's parameters; "auto" for what the trainer refuses."""
    # The management API takes them as they come.
    numbers = {name: v for name, v in parameters.items() if type(v) in (int, float)}
    rate = numbers.get("learning_rate")
    return {
        "n_epochs": numbers.get("epochs", "auto"),
        "batch_size": numbers.get("batch", "auto"),
        "learning_rate_multiplier": round(rate / LEARNING_RATE, 6) if rate else "auto",
    }
