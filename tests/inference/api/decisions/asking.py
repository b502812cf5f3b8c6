"""Requests for decisions, as the tests send them."""

from typing import Any

import httpx

PATH, POLICY = "/v1/decisions", "payments"
INPUT: dict[str, Any] = {"amount": 12.5, "merchant": "Corner shop", "abroad": False}
ASK: dict[str, Any] = {"policy": POLICY, "person": "customer-1", "input": INPUT}
SPEC: dict[str, Any] = {
    "input_schema": {
        "type": "object",
        "properties": {
            "amount": {"type": "number", "minimum": 0, "maximum": 100_000},
            "merchant": {"type": "string", "maxLength": 80},
            "abroad": {"type": "boolean"},
        },
        "required": ["amount", "merchant", "abroad"],
    },
    "template": "Payment of {{amount}} to {{merchant}}, abroad: {{abroad}}. Is it fraud?",
    "model": "small",
    "thresholds": {"review": 0.3, "block": 0.8},
    "deadline_ms": 20_000,
}


async def decide(
    client: httpx.AsyncClient, *, key: str | None = None, **fields: Any
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(PATH, json={**ASK, **fields}, headers=headers)


async def decided(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """Returns the decision, which must be there."""
    answer = await decide(client, **fields)
    assert answer.status_code == 200, answer.text
    decision: dict[str, Any] = answer.json()
    return decision
