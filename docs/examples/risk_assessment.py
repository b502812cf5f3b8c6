"""Asks a decision policy whether a payment goes through, is reviewed, or is blocked.

pip install httpx
FOREBAY_URL=http://localhost:8000 FOREBAY_API_KEY=sk-fb-... python risk_assessment.py
"""

import os
from typing import Any

import httpx

POLICY = os.environ.get("FOREBAY_POLICY", "payments")
forebay = httpx.Client(
    base_url=os.environ.get("FOREBAY_URL", "http://localhost:8000"),
    headers={"Authorization": f"Bearer {os.environ['FOREBAY_API_KEY']}"},
    timeout=5.0,  # above the policy's deadline: the answer is there before
)


def risk_assessment(transaction: dict[str, Any]) -> dict[str, Any]:
    """Returns the decision: outcome, score, reasons, and the version that decided."""
    answer = forebay.post(
        "/v1/decisions",
        json={
            "policy": POLICY,
            "person": transaction["customer"],
            "input": {name: transaction[name] for name in ("amount", "merchant", "abroad")},
        },
        # Sent again after a lost connection, the same transaction has the same decision.
        headers={"Idempotency-Key": transaction["id"]},
    )
    answer.raise_for_status()
    decision: dict[str, Any] = answer.json()
    return decision


def report_outcome(decision: dict[str, Any], *, was_fraud: bool) -> None:
    """Tells what really happened, such as a chargeback."""
    path = f"/v1/decisions/{decision['id']}/outcome"
    feedback = "positive" if was_fraud else "negative"
    forebay.post(path, json={"feedback": feedback}).raise_for_status()


if __name__ == "__main__":
    payment = {
        "id": "tx-2026-0001",
        "customer": "customer-17",
        "amount": 129.9,
        "merchant": "Corner shop",
        "abroad": False,
    }
    decision = risk_assessment(payment)
    print(decision["outcome"], decision["score"], *(r["message"] for r in decision["reasons"]))
    report_outcome(decision, was_fraud=False)
