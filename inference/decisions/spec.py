"""One version of a decision policy: its input, its question to a model, and what follows a score.

`packed` and `unpacked` are its form at rest and in the API, JSON. The checks are in `checks.py`.
"""

from typing import Any, Literal

import msgspec

from inference.decisions.tree import Tree

APPROVE, REVIEW, BLOCK = OUTCOMES = ("approve", "review", "block")
CHAT, TEXT = "chat", "text"
Outcome = Literal["approve", "review", "block"]
Value = str | int | float | bool
LONGEST = 2 * 1024 * 1024  # bytes of a packed one; most of it is the tree


class Calibration(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A calibration, and what it was fitted on (inference/decisions/calibration.py).

    `temperature` divides the score's log-odds. Platt's is sigmoid(`slope` * log-odds +
    `intercept`). The isotonic one goes straight from point to point of `scores` and `values`.
    """

    method: Literal["temperature", "platt", "isotonic"]
    model: str
    model_version: str
    rows: int
    positives: int
    fitted_at: str  # ISO 8601
    temperature: float = 1.0
    slope: float = 1.0
    intercept: float = 0.0
    scores: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Probabilities from which an input is reviewed or blocked, and the cost of each mistake."""

    review: float
    block: float
    cost_false_alarm: float = 1.0
    cost_missed: float = 10.0
    cost_review: float = 0.5


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule of a fallback, such as `amount at_least 500: review`."""

    input: str
    test: Literal["at_least", "at_most", "above", "below", "is", "is_not"]
    value: Value
    outcome: Outcome


class Fallback(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The rule that decides if the model does not answer in time.

    The first rule that holds decides; where none does, and for the kind `outcome`, `outcome`.
    """

    kind: Literal["outcome", "rules", "tree"] = "outcome"
    outcome: Outcome = "review"
    rules: tuple[Rule, ...] = ()


class Stack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the model's and the tree's log-odds, which are added."""

    model: float
    tree: float
    intercept: float = 0.0


class SecondPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Reviews of inputs whose field `input` is at least `sum` need two people."""

    input: str
    sum: float


class PolicySpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A version of a policy. `template` has `{{name}}` where an input goes.

    The score is the probability of `positive` against `negative` as the first token of the model's
    answer. `model_version` is the version of `model` that all of it was made for: where another one
    serves, the fallback decides. `neutral` has the value of each input that explanations put in its
    place.
    """

    input_schema: dict[str, Any]
    template: str
    model: str
    thresholds: Thresholds
    form: Literal["chat", "text"] = "chat"
    positive: str = "yes"
    negative: str = "no"
    model_version: str = ""
    calibration: Calibration | None = None
    fallback: Fallback = Fallback()
    deadline_ms: int = 2000
    tree: Tree | None = None
    stack: Stack | None = None
    second_person: SecondPerson | None = None
    neutral: dict[str, Value] = {}

    @property
    def inputs(self) -> dict[str, dict[str, Any]]:
        """Returns the schema of each input by its name."""
        properties: dict[str, dict[str, Any]] = self.input_schema.get("properties", {})
        return properties


packed, unpacked = msgspec.json.encode, msgspec.json.Decoder(PolicySpec).decode


def of_json(value: Any) -> PolicySpec:
    """Returns the spec of parsed JSON. Raises msgspec.ValidationError, which names the field."""
    return msgspec.convert(value, PolicySpec)


def as_json(spec: PolicySpec) -> dict[str, Any]:
    """Returns what `of_json` takes."""
    fields: dict[str, Any] = msgspec.to_builtins(spec)
    return fields
