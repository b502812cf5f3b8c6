"""Writes a decision as the object of the API."""

from typing import Any

from audit.keys.keyring import Unreadable
from inference.models import Decision
from inference.models.decisions.decision import Content


def of(decision: Decision, content: Content | None = None) -> dict[str, Any]:
    """Returns the object; without `content` it has no input and no reasons."""
    fallback = decision.fallback_reason
    fields = {
        "id": decision.public_id,
        "object": "decision",
        "created_at": int(decision.created_at.timestamp()),
        "policy": decision.policy_name,
        "version": decision.version_number,
        "challenger": decision.is_challenger,
        "outcome": decision.outcome,
        "score": decision.score,
        "raw_score": decision.raw_score,
        "thresholds": decision.thresholds,
        "source": decision.source,
        "fallback": fallback or None,
        "deadline_ms": decision.deadline_ms,
        "latency_ms": decision.latency_ms,
        "completion": str(decision.completion_id) if decision.completion_id else None,
        "feedback": decision.feedback or None,
        "final_outcome": decision.final or None,
    }
    if content:
        fields["reasons"] = [{"code": r.code, "message": r.message} for r in content.reasons]
    return fields


def content_of(decision: Decision) -> Content | None:
    """Returns the texts; None if they have been erased. Raises MasterKeyUnavailable."""
    try:
        return decision.content
    except Unreadable:
        return None
