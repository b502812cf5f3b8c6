"""The shapes of answers in OpenAI's protocol, for the OpenAPI document."""

from inference.api.document.schemas import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    UNIX,
    Json,
    array,
    listing,
    or_null,
    ref,
    shape,
)
from inference.api.openai.part_uploads import UPLOAD
from inference.api.openai.uploads import UPLOADED
from inference.engines.capabilities import NAMES
from inference.engines.fields import Schema
from inference.models import BatchState, FilePurpose, JobState

_TEXT, _TIME = or_null(STRING), or_null(UNIX)
_METADATA: Schema = {"type": ["object", "null"], "additionalProperties": STRING}
_CALL = shape("id", id=STRING, type=STRING, function=OBJECT)
_MESSAGE = shape(
    *("content", "refusal", "reasoning_content", "tool_calls"),
    role=STRING,
    content=_TEXT,
    refusal=_TEXT,
    reasoning_content=_TEXT,
    tool_calls=or_null(array(_CALL)),
)
_CHOICE = {"index": INTEGER, "finish_reason": _TEXT, "logprobs": or_null(OBJECT)}
_HEAD = {"id": STRING, "created": UNIX, "model": STRING, "usage": ref("Usage")}
_UPLOAD = shape(
    id=STRING,
    object={"const": "upload"},
    bytes=INTEGER,
    created_at=UNIX,
    expires_at=UNIX,
    filename=STRING,
    purpose=STRING,
    status={"type": "string", "enum": ["pending", "completed", "cancelled"]},
    file={"anyOf": [ref("File"), {"type": "null"}]},
)
_PART = shape(
    id=STRING, object={"const": "upload.part"}, created_at=UNIX, upload_id={
        "type": "string", "pattern": f"^{UPLOAD}"
    },
)  # fmt: skip
_FILE = shape(
    id=STRING,
    object={"const": "file"},
    bytes=INTEGER,
    created_at=UNIX,
    expires_at=_TIME,
    filename=STRING,
    purpose={"type": "string", "enum": [*UPLOADED, FilePurpose.BATCH_OUTPUT]},
    status=STRING,
    status_details=_TEXT,
)
_BATCH = shape(
    id=STRING,
    object={"const": "batch"},
    endpoint=STRING,
    errors=or_null(shape(object=STRING, data=array(OBJECT))),
    input_file_id=STRING,
    completion_window=STRING,
    status={"type": "string", "enum": [*BatchState.values]},
    output_file_id=_TEXT,
    error_file_id=_TEXT,
    created_at=UNIX,
    in_progress_at=_TIME,
    expires_at=_TIME,
    finalizing_at=_TIME,
    cancelling_at=_TIME,
    completed_at=_TIME,
    failed_at=_TIME,
    expired_at=_TIME,
    cancelled_at=_TIME,
    request_counts=shape(total=INTEGER, completed=INTEGER, failed=INTEGER),
    metadata=_METADATA,
    model=_TEXT,
    usage=or_null(OBJECT),
)
_JOB = shape(
    id=STRING,
    object={"const": "fine_tuning.job"},
    created_at=UNIX,
    finished_at=_TIME,
    estimated_finish=_TIME,
    model=STRING,
    fine_tuned_model=_TEXT,
    organization_id=STRING,
    status={"type": "string", "enum": ["validating_files", *JobState.values[1:]]},
    error=or_null(shape(code=STRING, message=STRING, param=_TEXT)),
    training_file=_TEXT,
    validation_file=_TEXT,
    result_files=array(STRING),
    trained_tokens=or_null(INTEGER),
    hyperparameters=OBJECT,
    method=OBJECT,
    integrations=array(OBJECT),
    seed=or_null(INTEGER),
    suffix=_TEXT,
    metadata=_METADATA,
    usage=shape(gpu_seconds=NUMBER, cost=NUMBER),
)
_EVENT = shape(
    id=STRING,
    object={"const": "fine_tuning.job.event"},
    created_at=UNIX,
    level=STRING,
    message=STRING,
    type=STRING,
    data=OBJECT,
)
_CHECKPOINT = shape(
    id=STRING,
    object={"const": "fine_tuning.job.checkpoint"},
    created_at=UNIX,
    fine_tuned_model_checkpoint=STRING,
    fine_tuning_job_id=STRING,
    metrics=OBJECT,
    step_number=INTEGER,
)
_MODEL = shape(
    *("parent", "version"),
    id=STRING,
    object={"const": "model"},
    created=UNIX,
    owned_by=STRING,
    context_length=INTEGER,
    capabilities={"type": "object", "properties": dict.fromkeys(NAMES, BOOLEAN)},
    parent=STRING,
    version=STRING,
)
_AMOUNT = dict.fromkeys(("total_balance", "granted_balance", "topped_up_balance"), STRING)
_RESULT = shape("document", index=INTEGER, relevance_score=NUMBER, document=OBJECT)
_EMBEDDING = shape(
    object={"const": "embedding"}, index=INTEGER, embedding={"anyOf": [array(NUMBER), STRING]}
)
SCHEMAS: dict[str, Json] = {
    "Usage": shape(
        "completion_tokens",
        prompt_tokens=INTEGER,
        completion_tokens=INTEGER,
        total_tokens=INTEGER,
    ),
    "ChatCompletion": shape(
        "usage",
        object={"const": "chat.completion"},
        choices=array(shape("logprobs", message=_MESSAGE, **_CHOICE)),
        **_HEAD,
    ),
    "Completion": shape(
        "usage",
        object={"const": "text_completion"},
        choices=array(shape("logprobs", text=STRING, **_CHOICE)),
        **_HEAD,
    ),
    "PlainCompletion": shape(
        "usage", request_id=STRING, text=STRING, finish_reason=_TEXT, usage=or_null(OBJECT)
    ),
    "EmbeddingList": shape(
        object={"const": "list"}, model=STRING, data=array(_EMBEDDING), usage=ref("Usage")
    ),
    "Ranking": shape(
        id=STRING,
        object={"const": "list"},
        model=STRING,
        results=array(_RESULT),
        usage=ref("Usage"),
        meta=OBJECT,
    ),
    "TokenList": shape(
        count=INTEGER, max_model_len=INTEGER, tokens=array(INTEGER), token_strs=or_null(OBJECT)
    ),
    "TokenText": shape(prompt=STRING),
    "Model": _MODEL,
    "ModelList": shape(object={"const": "list"}, data=array(ref("Model"))),
    "Balance": shape(is_available=BOOLEAN, balance_infos=array(shape(currency=STRING, **_AMOUNT))),
    "File": _FILE,
    "FileList": listing(ref("File")),
    "FileDeleted": shape(id=STRING, object={"const": "file"}, deleted=BOOLEAN),
    "Upload": _UPLOAD,
    "UploadPart": _PART,
    "Batch": _BATCH,
    "BatchList": listing(ref("Batch")),
    "FineTuningJob": _JOB,
    "FineTuningJobList": listing(ref("FineTuningJob")),
    "FineTuningEventList": listing(_EVENT),
    "FineTuningCheckpointList": listing(_CHECKPOINT),
}
