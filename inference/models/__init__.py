from inference.models.completion import Completion, State, Usage
from inference.models.conversation import Author, Conversation, Message
from inference.models.idempotency_key import IdempotencyKey
from inference.models.rollup import RollupMark, UsageDay, UsageHour

__all__ = [
    "Author",
    "Completion",
    "Conversation",
    "IdempotencyKey",
    "Message",
    "RollupMark",
    "State",
    "Usage",
    "UsageDay",
    "UsageHour",
]
