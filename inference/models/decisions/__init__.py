from inference.models.decisions.policy import DecisionPolicy
from inference.models.decisions.policy_version import DecisionPolicyVersion, PolicyVersionState

__all__ = ["DecisionPolicy", "DecisionPolicyVersion", "PolicyVersionState"]
