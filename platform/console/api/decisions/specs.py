"""The JSON form of a version of a decision policy, in bodies."""

from typing import Any

import msgspec

from console.api.problem import bad_request
from inference.decisions.spec import PolicySpec, of_json

EXAMPLE: dict[str, Any] = {
    "model": "deepseek-r1",
    "template": "Payment of {{amount}} to {{merchant}}. Is it fraud? Answer yes or no.",
    "input_schema": {
        "type": "object",
        "properties": {
            "amount": {"type": "number", "minimum": 0},
            "merchant": {"type": "string", "maxLength": 80},
        },
        "required": ["amount", "merchant"],
    },
    "thresholds": {"review": 0.3, "block": 0.8},
    "fallback": {
        "kind": "rules",
        "outcome": "approve",
        "rules": [{"input": "amount", "test": "at_least", "value": 500, "outcome": "review"}],
    },
    "neutral": {"amount": 20, "merchant": "a shop"},
}


def spec_in(value: Any) -> PolicySpec:
    """Returns the spec of a body. Raises Problem, which names the field."""
    try:
        return of_json(value)
    except msgspec.ValidationError as problem:
        raise bad_request({"spec": [str(problem)]}) from None
