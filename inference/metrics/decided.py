"""Metrics of decisions: how policies decide, and how often without their model."""

from inference.models import Decision, DecisionOutcome, DecisionSource, FallbackReason
from infrastructure.metrics import Counter, Histogram, Label

DECIDED = Counter(
    "forebay_decisions_total",
    "Decisions on record, by outcome and by what decided",
    Label.of("outcome", *DecisionOutcome.values),
    Label.of("source", *DecisionSource.values),
)
FALLBACKS = Counter(
    "forebay_decision_fallbacks_total",
    "Decisions of a policy's fallback, by why its model did not decide",
    Label.of("reason", *FallbackReason.values),
)
LASTED = Histogram(
    "forebay_decision_duration_seconds",
    "A decision, from its request until it is written",
    bounds=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)


def decided(decision: Decision) -> None:
    """Count a decision that is on record."""
    DECIDED.of(decision.outcome, decision.source).value += 1
    if decision.fallback_reason:
        FALLBACKS.of(decision.fallback_reason).value += 1
    LASTED.of().observe(decision.latency_ms / 1000)
