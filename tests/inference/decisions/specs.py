"""A decision policy about payments, for tests."""

from typing import Any

from inference.decisions.spec import PolicySpec, Thresholds, of_json

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "amount": {"type": "number", "minimum": 0, "maximum": 100_000},
        "merchant": {"type": "string", "maxLength": 80},
        "country": {"type": "string", "enum": ["DE", "CN", "US"], "default": "DE"},
        "abroad": {"type": "boolean"},
    },
    "required": ["amount", "merchant", "abroad"],
}
TEMPLATE = "Payment of {{amount}} to {{merchant}} in {{country}}. Is it fraud? yes or no"
INPUT = {"amount": 12.5, "merchant": "Corner shop", "abroad": False}


def payments(**fields: Any) -> PolicySpec:
    """Returns the policy with these fields of its JSON form."""
    spec = {
        "input_schema": SCHEMA,
        "template": TEMPLATE,
        "model": "deepseek-r1",
        "thresholds": {"review": 0.3, "block": 0.8},
    }
    return of_json(spec | fields)


def stump() -> dict[str, Any]:
    """Returns a tree: log-odds of 2 above an amount of 100, else -2."""
    return {"features": ["amount"], "intercept": 0.0, "trees": [[[0, 100, 1, 2, 1], [-2], [2]]]}


assert payments().thresholds == Thresholds(0.3, 0.8)
