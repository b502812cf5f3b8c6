"""The audit trail's models: events, their encrypted texts, and keys.

`audit` imports no other app: tenants and people are bare UUIDs here.
"""

from audit.models.check_run import CheckRun as CheckRun
from audit.models.deletion import DeletionMode as DeletionMode
from audit.models.deletion import DeletionRequest as DeletionRequest
from audit.models.deletion import DeletionState as DeletionState
from audit.models.deletion import ErasureStep as ErasureStep
from audit.models.deletion import Tombstone as Tombstone
from audit.models.event import Event as Event
from audit.models.event import Payload as Payload
from audit.models.export import Export as Export
from audit.models.key import DataKey as DataKey
from audit.models.key import KeyMark as KeyMark
from audit.models.key import KeyRotation as KeyRotation
from audit.models.retention import LegalHold as LegalHold
from audit.models.retention import PrunedMonth as PrunedMonth
from audit.models.retention import RetentionRule as RetentionRule
from audit.models.seal import Checkpoint as Checkpoint
from audit.models.seal import Seal as Seal
from audit.models.seal import SealMark as SealMark
from audit.models.seal import WitnessMark as WitnessMark
from audit.platform import PLATFORM as PLATFORM
