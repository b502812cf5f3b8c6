"""The version that a new policy begins with, as JSON; also the example of the documentation."""

from typing import Any

SAMPLE: dict[str, Any] = {
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
