"""Fields of a request for fine-tuning, checked, and OpenAI's hyperparameters in the trainer's."""

from collections.abc import Mapping
from typing import Any

from inference.api.openai import stored_objects
from inference.engines.fields import METADATA, FieldRule, Fields
from inference.errors import BadRequest, must_be
from inference.jobs.creating import SUFFIX

LEARNING_RATE = 4e-4  # the trainer's for adapters, which a multiplier multiplies
_TEXT = FieldRule(lambda v: isinstance(v, str) and 0 < len(v) <= 120, "a text")
_FILE = FieldRule(lambda v: v is None or isinstance(v, str), "the id of a file")
_FIELDS: Fields = {
    "model": _TEXT,
    "training_file": FieldRule(lambda v: isinstance(v, str), "the id of a file"),
    "validation_file": _FILE,
    "suffix": FieldRule(
        lambda v: v is None or (isinstance(v, str) and len(v) <= SUFFIX),
        f"a text of at most {SUFFIX} characters",
    ),
    "seed": FieldRule(
        lambda v: v is None or (type(v) is int and 0 <= v < 2**31), "a number from 0 to 2147483647"
    ),
    "metadata": FieldRule(lambda v: v is None or METADATA.holds(v), METADATA.should),
}
_OTHERS = ("method", "hyperparameters", "integrations")
_HYPERPARAMETERS = ("n_epochs", "batch_size", "learning_rate_multiplier")


def checked(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the body. Raises BadRequest."""
    stored_objects.check_fields(body, _FIELDS, _OTHERS)
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
    stored_objects.check_known(values, _HYPERPARAMETERS)
    chosen = {name: value for name, value in values.items() if value not in (None, "auto")}
    for name, value in chosen.items():
        _check(name, value)
    return chosen


def _object(fields: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    """Returns the object of a field, {} without one. Raises BadRequest."""
    value = fields.get(name) or {}
    if not isinstance(value, dict):
        raise must_be(path, "an object")
    return value


def _check(name: str, value: Any) -> None:
    most = {"n_epochs": 1000, "batch_size": 4096, "learning_rate_multiplier": 1000}[name]
    whole = name != "learning_rate_multiplier"
    kinds = (int,) if whole else (int, float)
    if type(value) not in kinds or not 0 < value <= most:
        raise must_be(name, f"auto or a number from {1 if whole else 0} to {most}")


def trainer_parameters(values: Mapping[str, int | float]) -> dict[str, int | float]:
    """Returns the trainer's parameters (trainer/kinds.py)."""
    names = {"n_epochs": "epochs", "batch_size": "batch"}
    parameters = {names[name]: value for name, value in values.items() if name in names}
    if multiplier := values.get("learning_rate_multiplier"):
        parameters["learning_rate"] = min(1.0, LEARNING_RATE * multiplier)
    return parameters


def shown_hyperparameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns OpenAI's names for the trainer's parameters."""
    rate = parameters.get("learning_rate")
    return {
        "n_epochs": parameters.get("epochs", "auto"),
        "batch_size": parameters.get("batch", "auto"),
        "learning_rate_multiplier": round(rate / LEARNING_RATE, 6) if rate else "auto",
    }
