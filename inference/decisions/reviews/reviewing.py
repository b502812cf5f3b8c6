"""Reviews as their front ends begin them: what a claim needs to know of the policy."""

from inference.decisions.policies import spec_of
from inference.models import Decision, DecisionExplanation, Review


def claim(review: Review, *, by: str) -> None:
    """Claim a review, and have its decision explained.

    Raises ReviewRefused, Unreadable, MasterKeyUnavailable.
    """
    review.claim(by=by, needs_second=needs_second(review.decision))
    DecisionExplanation.order(review.decision)


def needs_second(decision: Decision) -> bool:
    """Returns whether two people must agree, by the policy's version that decided.

    Raises Unreadable, MasterKeyUnavailable.
    """
    rule = spec_of(decision.version).second_person
    if rule is None:
        return False
    value = decision.content.input.get(rule.input)
    return isinstance(value, int | float) and value >= rule.sum
