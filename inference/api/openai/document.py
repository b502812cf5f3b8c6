"""The operations of OpenAI's protocol, and what this platform adds to it, for the document."""

from inference.api.document.headers import LAST_EVENT
from inference.api.document.operation import EVENTS, JSON, Kind, Operation, Operations, Section
from inference.api.document.schemas import ERROR, OBJECT, STRING, Json, array, body, ref, single
from inference.api.openai.document_objects import OBJECTS
from inference.api.openai.document_shapes import SCHEMAS
from inference.engines.fields import (
    DETOKENIZING,
    EMBEDDINGS,
    RERANKING,
    TOKENIZING,
    FieldRule,
    Schema,
)
from inference.engines.kind_samples import rules_of_all
from inference.intake.prompt_templates import FIELD as TEMPLATE
from inference.validation import described
from inference.validation.requests import PLAIN

_STREAM: Schema = {"description": "Server-sent events; the last is `[DONE]`."}
_TEMPLATES = {
    TEMPLATE: [FieldRule(bool, "a prompt template, `name` or `name@version`", STRING)],
    "variables": [FieldRule(bool, "the values of the template's variables", OBJECT)],
}
_PROMPT = "Has a prompt, or names a `template`. With `stream` the answer comes as events."
_TEXTS, _VECTORS, _MODELS = "Completions", "Embeddings and rankings", "Models"
_OPERATIONS: Operations = {
    "/v1/chat/completions": {
        "POST": Operation(
            "create_chat_completion",
            _TEXTS,
            "Answer a chat",
            {JSON: ref("ChatCompletion"), EVENTS: _STREAM},
            description=_PROMPT,
            kind=Kind.RUN,
            body=ref("ChatCompletionRequest"),
        )
    },
    "/v1/completions": {
        "POST": Operation(
            "create_completion",
            _TEXTS,
            "Continue a text",
            {JSON: ref("Completion"), EVENTS: _STREAM},
            description=_PROMPT,
            kind=Kind.RUN,
            body=ref("CompletionRequest"),
        )
    },
    "/v1/completions/{id}/events": {
        "GET": Operation(
            "resume_stream",
            _TEXTS,
            "Read a stream again",
            {EVENTS: _STREAM},
            description="Streams are kept until two minutes after their end.",
            variable="The id of a streamed completion.",
            parameters=(LAST_EVENT,),
        )
    },
    "/v1/inference": {
        "POST": Operation(
            "create_inference",
            _TEXTS,
            "Continue a text, with few parameters",
            {JSON: ref("PlainCompletion")},
            kind=Kind.RUN,
            body=body(single(PLAIN), ("prompt",)),
        )
    },
    "/v1/embeddings": {
        "POST": Operation(
            "create_embeddings",
            _VECTORS,
            "Turn texts into vectors",
            {JSON: ref("EmbeddingList")},
            kind=Kind.RUN,
            body=ref("EmbeddingRequest"),
        )
    },
    "/v1/rerank": {
        "POST": Operation(
            "create_ranking",
            _VECTORS,
            "Rank documents by their relevance to a query",
            {JSON: ref("Ranking")},
            description="The same under /v2/rerank.",
            kind=Kind.RUN,
            body=ref("RankingRequest"),
        )
    },
    "/v1/tokenize": {
        "POST": Operation(
            "tokenize",
            _TEXTS,
            "Turn a text or a chat into the model's tokens",
            {JSON: ref("TokenList")},
            kind=Kind.STORE,
            body=body(single(TOKENIZING), ("model",)),
        )
    },
    "/v1/detokenize": {
        "POST": Operation(
            "detokenize",
            _TEXTS,
            "Turn tokens into a text",
            {JSON: ref("TokenText")},
            kind=Kind.STORE,
            body=body(single(DETOKENIZING), ("model", "tokens")),
        )
    },
    "/v1/models": {
        "GET": Operation("list_models", _MODELS, "List models", {JSON: ref("ModelList")})
    },
    "/v1/models/{model}": {
        "GET": Operation(
            "retrieve_model",
            _MODELS,
            "Describe a model",
            {JSON: ref("Model")},
            variable="The name of a model.",
        )
    },
    "/v1/user/balance": {
        "GET": Operation(
            "retrieve_balance", _MODELS, "Show the rest of cost quotas", {JSON: ref("Balance")}
        )
    },
}


def section() -> Section:
    requests = {
        "ChatCompletionRequest": _chat(),
        "CompletionRequest": _text(),
        "EmbeddingRequest": body(single(EMBEDDINGS), ("model", "input")),
        "RankingRequest": body(single(RERANKING), ("model", "query", "documents")),
    }
    schemas = {**SCHEMAS, **requests, "ChatMessage": described.message()}
    return Section(ERROR, {**_OPERATIONS, **OBJECTS}, schemas)


def _chat() -> Json:
    nested = {
        "messages": {**array(ref("ChatMessage")), "minItems": 1},
        "tools": array(described.tool()),
        "tool_choice": described.tool_choice(),
        "response_format": described.response_format(),
    }
    return body(rules_of_all(chat=True) | _TEMPLATES, ("model",), nested)


def _text() -> Json:
    return body(rules_of_all(chat=False) | _TEMPLATES, ("model",))
