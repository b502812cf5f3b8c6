"""The operations of Ollama's API, for the OpenAPI document."""

from inference.api.document.headers import LAST_EVENT
from inference.api.document.operation import JSON, Kind, Operation, Operations, Section
from inference.api.document.schemas import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    Json,
    array,
    body,
    or_null,
    ref,
    shape,
    single,
)
from inference.api.ollama import fields
from inference.engines.fields import Schema

_TAG, _LINES = "Ollama", "application/x-ndjson"
_STREAM: Schema = {"type": "string", "description": "JSON lines; the last has `done`: true."}
_ERROR = shape(
    "refusal_id", error=STRING, code=or_null(STRING), param=or_null(STRING), refusal_id=STRING
)
_TAGGED = {"name": STRING, "model": STRING, "size": INTEGER, "digest": STRING, "details": OBJECT}
_ANSWER: dict[str, Schema] = {"model": STRING, "created_at": STRING, "done": BOOLEAN}
_FIGURES: dict[str, Schema] = {
    "done_reason": STRING,
    "thinking": STRING,
    "context": array(INTEGER),
    "logprobs": array(OBJECT),
    **dict.fromkeys(
        (
            "total_duration",
            "load_duration",
            "prompt_eval_count",
            "prompt_eval_duration",
            "eval_count",
            "eval_duration",
        ),
        INTEGER,
    ),
}
_SCHEMAS: dict[str, Json] = {
    "OllamaVersion": shape(version=STRING),
    "OllamaModelList": shape(
        models=array(shape(**_TAGGED, modified_at=STRING, capabilities=array(STRING)))
    ),
    "OllamaProcessList": shape(
        models=array(shape(**_TAGGED, expires_at=STRING, size_vram=INTEGER, context_length=INTEGER))
    ),
    "OllamaModel": shape(
        modelfile=STRING,
        parameters=STRING,
        template=STRING,
        details=OBJECT,
        model_info=OBJECT,
        capabilities=array(STRING),
        modified_at=STRING,
    ),
    "OllamaChat": shape(*_FIGURES, message=OBJECT, **_ANSWER, **_FIGURES),
    "OllamaText": shape(*_FIGURES, response=STRING, **_ANSWER, **_FIGURES),
    "OllamaEmbeddings": shape(*_FIGURES, model=STRING, embeddings=array(array(NUMBER)), **_FIGURES),
    "OllamaEmbedding": shape(embedding=array(NUMBER)),
}


def _look(name: str, summary: str, answer: str) -> Operation:
    return Operation(name, _TAG, summary, {JSON: ref(answer)})


def _run(
    name: str, summary: str, answers: dict[str, Schema], table: dict[str, fields.Field]
) -> Operation:
    rules = single({field: each.rule for field, each in table.items()})
    return Operation(name, _TAG, summary, answers, kind=Kind.RUN, body=body(rules, ("model",)))


_OPERATIONS: Operations = {
    "/api/version": {"GET": _look("ollama_version", "Say the version", "OllamaVersion")},
    "/api/tags": {"GET": _look("ollama_models", "List models", "OllamaModelList")},
    "/api/ps": {"GET": _look("ollama_processes", "List models that answer", "OllamaProcessList")},
    "/api/show": {
        "POST": Operation(
            "ollama_show",
            _TAG,
            "Describe a model",
            {JSON: ref("OllamaModel")},
            kind=Kind.STORE,
            body=body(single({name: each.rule for name, each in fields.SHOW.items()}), ()),
        )
    },
    "/api/chat": {
        "POST": _run(
            "ollama_chat",
            "Answer a chat",
            {_LINES: _STREAM, JSON: ref("OllamaChat")},
            fields.CHAT,
        )
    },
    "/api/generate": {
        "POST": _run(
            "ollama_generate",
            "Continue a text",
            {_LINES: _STREAM, JSON: ref("OllamaText")},
            fields.GENERATE,
        )
    },
    "/api/embed": {
        "POST": _run(
            "ollama_embed", "Turn texts into vectors", {JSON: ref("OllamaEmbeddings")}, fields.EMBED
        )
    },
    "/api/embeddings": {
        "POST": _run(
            "ollama_embed_one",
            "Turn a text into a vector",
            {JSON: ref("OllamaEmbedding")},
            fields.EMBEDDINGS,
        )
    },
    "/api/streams/{id}": {
        "GET": Operation(
            "ollama_resume",
            _TAG,
            "Read a stream again",
            {_LINES: _STREAM},
            variable="The id of a streamed answer.",
            parameters=(LAST_EVENT,),
        )
    },
}


def section() -> Section:
    return Section(("OllamaError", _ERROR), _OPERATIONS, _SCHEMAS)
