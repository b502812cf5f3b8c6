from inference.models.decisions.contest import Contest, ContestState
from inference.models.decisions.decision import (
    Decision,
    DecisionFeedback,
    DecisionOutcome,
    DecisionSource,
    FallbackReason,
)
from inference.models.decisions.explanation import DecisionExplanation, ExplanationState
from inference.models.decisions.policy import DecisionPolicy
from inference.models.decisions.policy_drift import PolicyDrift
from inference.models.decisions.policy_evaluation import PolicyEvaluation, PolicyPurpose
from inference.models.decisions.policy_version import DecisionPolicyVersion, PolicyVersionState
from inference.models.decisions.review import Review, ReviewCause, ReviewState

__all__ = [
    "Contest",
    "ContestState",
    "Decision",
    "DecisionExplanation",
    "DecisionFeedback",
    "DecisionOutcome",
    "DecisionPolicy",
    "DecisionPolicyVersion",
    "DecisionSource",
    "ExplanationState",
    "FallbackReason",
    "PolicyDrift",
    "PolicyEvaluation",
    "PolicyPurpose",
    "PolicyVersionState",
    "Review",
    "ReviewCause",
    "ReviewState",
]
