"""The operations on files, uploads, batches and fine-tuning jobs, for the document."""

from inference.api.document.operation import (
    BYTES,
    FORM,
    JSON,
    Kind,
    Operation,
    Operations,
    query,
)
from inference.api.document.schemas import BINARY, STRING, checked_body, closed, ref
from inference.api.openai import batches, files, fine_tuning, fine_tuning_fields, part_uploads
from inference.api.openai.fine_tuning_shapes import MOST, USUAL
from inference.api.openai.stored_objects import ANCHOR, EXPIRY, FORM_FIELDS
from inference.api.openai.uploads import UPLOADED
from inference.engines.fields import Schema

_FILES, _BATCHES, _TUNING = "Files", "Batches", "Fine-tuning"
_ORDER: Schema = {"type": "string", "enum": ["asc", "desc"]}
_NOUNS = {_FILES: "file or upload", _BATCHES: "batch", _TUNING: "job"}
_FORM = closed(
    ("file", "purpose"),
    file=BINARY,
    purpose={"type": "string", "enum": [*UPLOADED]},
    **dict(zip(FORM_FIELDS, ({"const": ANCHOR}, EXPIRY["properties"]["seconds"]), strict=True)),
)
_BEGUN = checked_body(part_uploads.fields(), **{part_uploads.EXPIRY: EXPIRY})
_BATCH = checked_body(batches.FIELDS, **{batches.EXPIRY: EXPIRY})
_JOB = checked_body(fine_tuning_fields.FIELDS, **fine_tuning_fields.beside())
_PURPOSE = query("purpose", {"type": "string", "enum": [*files.PURPOSES]})


def _look(name: str, tag: str, summary: str, shape: str, *parameters: Schema) -> Operation:
    answers, variable = {JSON: ref(shape)}, f"The id of the {_NOUNS[tag]}."
    return Operation(name, tag, summary, answers, variable=variable, parameters=parameters)


def _act(name: str, tag: str, summary: str, shape: str) -> Operation:
    answers, variable = {JSON: ref(shape)}, f"The id of the {_NOUNS[tag]}."
    return Operation(name, tag, summary, answers, variable=variable, conflicts=True)


def _begin(name: str, tag: str, summary: str, shape: str, body: Schema) -> Operation:
    return Operation(name, tag, summary, {JSON: ref(shape)}, kind=Kind.BEGIN, body=body)


def _store(
    name: str, tag: str, summary: str, shape: str, body: Schema, media: str = JSON
) -> Operation:
    answers, variable = {JSON: ref(shape)}, "The id of the upload."
    return Operation(
        name, tag, summary, answers, kind=Kind.STORE, body=body, media=media, variable=variable
    )


def _page(most: int, usual: int, *more: Schema) -> tuple[Schema, ...]:
    limit = {"type": "integer", "minimum": 1, "maximum": most, "default": usual}
    return (query("limit", limit), query("after", STRING, "The last id of the page before."), *more)


def _listing(bounds: tuple[str, int, int], *more: Schema) -> tuple[Schema, ...]:
    _, usual, most = bounds
    return _page(most, usual, query("order", _ORDER), *more)


_FILE_OPERATIONS: Operations = {
    "/v1/files": {
        "GET": _look(
            *("list_files", _FILES, "List files", "FileList"), *_listing(files.BOUNDS, _PURPOSE)
        ),
        "POST": _store("upload_file", _FILES, "Store a file", "File", _FORM, FORM),
    },
    "/v1/files/{id}": {
        "GET": _look("retrieve_file", _FILES, "Describe a file", "File"),
        "DELETE": _act("delete_file", _FILES, "Delete a file", "FileDeleted"),
    },
    "/v1/files/{id}/content": {
        "GET": Operation(
            *("download_file", _FILES, "Read a file", {BYTES: BINARY}),
            variable="The id of the file.",
        )
    },
    "/v1/uploads": {
        "POST": _store("create_upload", _FILES, "Begin an upload in parts", "Upload", _BEGUN)
    },
    "/v1/uploads/{id}/parts": {
        "POST": _store(
            *("add_upload_part", _FILES, "Send a part", "UploadPart"),
            *(closed(("data",), data=BINARY), FORM),
        )
    },
    "/v1/uploads/{id}/complete": {
        "POST": _store(
            *("complete_upload", _FILES, "Make a file of the parts", "Upload"),
            checked_body(part_uploads.PARTS),
        )
    },
    "/v1/uploads/{id}/cancel": {
        "POST": _act("cancel_upload", _FILES, "End an upload early", "Upload")
    },
}
_BATCH_OPERATIONS: Operations = {
    "/v1/batches": {
        "GET": _look(
            *("list_batches", _BATCHES, "List batches", "BatchList"), *_listing(batches.BOUNDS)
        ),
        "POST": _begin("create_batch", _BATCHES, "Begin a batch", "Batch", _BATCH),
    },
    "/v1/batches/{id}": {"GET": _look("retrieve_batch", _BATCHES, "Describe a batch", "Batch")},
    "/v1/batches/{id}/cancel": {
        "POST": _act("cancel_batch", _BATCHES, "End a batch early", "Batch")
    },
}
_JOBS, _SHAPE = "/v1/fine_tuning/jobs", "FineTuningJob"
_JOB_OPERATIONS: Operations = {
    _JOBS: {
        "GET": _look(
            *("list_fine_tuning_jobs", _TUNING, "List jobs", "FineTuningJobList"),
            *_listing(fine_tuning.BOUNDS),
        ),
        "POST": _begin("create_fine_tuning_job", _TUNING, "Begin a job", _SHAPE, _JOB),
    },
    f"{_JOBS}/{{id}}": {
        "GET": _look("retrieve_fine_tuning_job", _TUNING, "Describe a job", _SHAPE)
    },
    f"{_JOBS}/{{id}}/cancel": {
        "POST": _act("cancel_fine_tuning_job", _TUNING, "End a job early", _SHAPE)
    },
    f"{_JOBS}/{{id}}/pause": {
        "POST": _act("pause_fine_tuning_job", _TUNING, "Pause a job", _SHAPE)
    },
    f"{_JOBS}/{{id}}/resume": {
        "POST": _act("resume_fine_tuning_job", _TUNING, "Go on with a paused job", _SHAPE)
    },
    f"{_JOBS}/{{id}}/events": {
        "GET": _look(
            *("list_fine_tuning_events", _TUNING, "Read the log of a job", "FineTuningEventList"),
            *_page(MOST, USUAL),
        )
    },
    f"{_JOBS}/{{id}}/checkpoints": {
        "GET": _look(
            *("list_fine_tuning_checkpoints", _TUNING, "List the checkpoints of a job"),
            "FineTuningCheckpointList",
            *_page(MOST, USUAL),
        )
    },
}
OBJECTS: Operations = {**_FILE_OPERATIONS, **_BATCH_OPERATIONS, **_JOB_OPERATIONS}
