from inference.models.adapter import Adapter, AdapterPromotion, PromotionStep
from inference.models.assistants.action_call import ActionCall, CallState, Settlement
from inference.models.assistants.assistant import Assistant
from inference.models.assistants.assistant_version import AssistantVersion
from inference.models.assistants.dialogue import (
    Channel,
    Dialogue,
    DialogueMessage,
    DialogueStatus,
    DialogueTurn,
    Role,
    TurnStep,
)
from inference.models.assistants.document import (
    Document,
    DocumentFormat,
    DocumentPiece,
    DocumentState,
    Passage,
    PassageWord,
)
from inference.models.assistants.hand_over import DialogueHandOver, HandOverEnd
from inference.models.assistants.knowledge_base import KnowledgeBase
from inference.models.assistants.webhook_action import WebhookAction
from inference.models.assistants.widget_key import WidgetKey
from inference.models.batch import Batch, BatchLine, BatchState, LineState
from inference.models.chat.attachment import Attachment, AttachmentPiece
from inference.models.chat.conversation import (
    Audience,
    Author,
    Conversation,
    ConversationFolder,
    ConversationShare,
    Message,
    Rating,
)
from inference.models.chat.preset import Preset, PresetLevel
from inference.models.completion import Completion, State, Usage
from inference.models.data_set import (
    ChunkPart,
    ConversationUse,
    DataSet,
    DataSetChunk,
    DataSetFormat,
    DataSetNotice,
    DataSetNoticeKind,
    DataSetPerson,
    DataSetSource,
    DataSetState,
    DataSetVersion,
)
from inference.models.decisions import (
    Contest,
    ContestState,
    Decision,
    DecisionExplanation,
    DecisionFeedback,
    DecisionOutcome,
    DecisionPolicy,
    DecisionPolicyVersion,
    DecisionSource,
    ExplanationState,
    FallbackReason,
    PolicyDrift,
    PolicyEvaluation,
    PolicyPurpose,
    PolicyVersionState,
    Review,
    ReviewCause,
    ReviewState,
)
from inference.models.evaluations.evaluation import Evaluation, EvaluationState
from inference.models.evaluations.evaluation_gate import EvaluationGate
from inference.models.evaluations.task_set import TaskSet
from inference.models.file import File, FileChunk, FilePurpose
from inference.models.idempotency_key import IdempotencyKey
from inference.models.job import Job, JobKind, JobState
from inference.models.job_progress import JobCheckpoint, JobEvent, JobMetric
from inference.models.model_alias import ModelAlias
from inference.models.model_version import (
    ModelDataSet,
    ModelFile,
    ModelParent,
    ModelVersion,
    VersionFormat,
    VersionKind,
    VersionState,
)
from inference.models.prompt_template import PromptTemplate, PromptTemplateVersion
from inference.models.replacement import Replacement
from inference.models.rollup import RollupMark, UsageDay, UsageHour
from inference.models.run_checkpoint import Checkpoint
from inference.models.served import Engine, FromFile, Model, Pool
from inference.models.stored_response import StoredResponse

__all__ = [
    "ActionCall",
    "Adapter",
    "AdapterPromotion",
    "Assistant",
    "AssistantVersion",
    "Attachment",
    "AttachmentPiece",
    "Audience",
    "Author",
    "Batch",
    "BatchLine",
    "BatchState",
    "CallState",
    "Channel",
    "Checkpoint",
    "ChunkPart",
    "Completion",
    "Contest",
    "ContestState",
    "Conversation",
    "ConversationFolder",
    "ConversationShare",
    "ConversationUse",
    "DataSet",
    "DataSetChunk",
    "DataSetFormat",
    "DataSetNotice",
    "DataSetNoticeKind",
    "DataSetPerson",
    "DataSetSource",
    "DataSetState",
    "DataSetVersion",
    "Decision",
    "DecisionExplanation",
    "DecisionFeedback",
    "DecisionOutcome",
    "DecisionPolicy",
    "DecisionPolicyVersion",
    "DecisionSource",
    "Dialogue",
    "DialogueHandOver",
    "DialogueMessage",
    "DialogueStatus",
    "DialogueTurn",
    "Document",
    "DocumentFormat",
    "DocumentPiece",
    "DocumentState",
    "Engine",
    "Evaluation",
    "EvaluationGate",
    "EvaluationState",
    "ExplanationState",
    "FallbackReason",
    "File",
    "FileChunk",
    "FilePurpose",
    "FromFile",
    "HandOverEnd",
    "IdempotencyKey",
    "Job",
    "JobCheckpoint",
    "JobEvent",
    "JobKind",
    "JobMetric",
    "JobState",
    "KnowledgeBase",
    "LineState",
    "Message",
    "Model",
    "ModelAlias",
    "ModelDataSet",
    "ModelFile",
    "ModelParent",
    "ModelVersion",
    "Passage",
    "PassageWord",
    "PolicyDrift",
    "PolicyEvaluation",
    "PolicyPurpose",
    "PolicyVersionState",
    "Pool",
    "Preset",
    "PresetLevel",
    "PromotionStep",
    "PromptTemplate",
    "PromptTemplateVersion",
    "Rating",
    "Replacement",
    "Review",
    "ReviewCause",
    "ReviewState",
    "Role",
    "RollupMark",
    "Settlement",
    "State",
    "StoredResponse",
    "TaskSet",
    "TurnStep",
    "Usage",
    "UsageDay",
    "UsageHour",
    "VersionFormat",
    "VersionKind",
    "VersionState",
    "WebhookAction",
    "WidgetKey",
]
