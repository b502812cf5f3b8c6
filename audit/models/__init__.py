"""The audit trail's models: events, their encrypted texts, and keys.

`audit` imports no other app: tenants and people are bare UUIDs here.
"""

from audit.models.check_run import CheckRun
from audit.models.deletion import (
    DeletionMode,
    DeletionRequest,
    DeletionState,
    ErasureStep,
    Tombstone,
)
from audit.models.event import Event, Payload
from audit.models.export import Export
from audit.models.key import DataKey, KeyMark, KeyRotation
from audit.models.retention import LegalHold, PrunedMonth, RetentionRule
from audit.models.seal import Checkpoint, Seal, SealMark, WitnessMark
from audit.platform import PLATFORM

__all__ = [
    "PLATFORM",
    "CheckRun",
    "Checkpoint",
    "DataKey",
    "DeletionMode",
    "DeletionRequest",
    "DeletionState",
    "ErasureStep",
    "Event",
    "Export",
    "KeyMark",
    "KeyRotation",
    "LegalHold",
    "Payload",
    "PrunedMonth",
    "RetentionRule",
    "Seal",
    "SealMark",
    "Tombstone",
    "WitnessMark",
]
