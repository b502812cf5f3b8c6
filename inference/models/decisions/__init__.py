from inference.models.decisions.decision import (
    Decision,
    DecisionFeedback,
    DecisionOutcome,
    DecisionSource,
)
from inference.models.decisions.policy import DecisionPolicy
from inference.models.decisions.policy_version import DecisionPolicyVersion, PolicyVersionState

__all__ = [
    "Decision",
    "DecisionFeedback",
    "DecisionOutcome",
    "DecisionPolicy",
    "DecisionPolicyVersion",
    "DecisionSource",
    "PolicyVersionState",
]
