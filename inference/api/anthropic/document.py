"""The operations of Anthropic's Messages API, for the OpenAPI document."""

from inference.api.anthropic import models
from inference.api.anthropic.document_requests import request
from inference.api.document.headers import LAST_EVENT
from inference.api.document.operation import (
    EVENTS,
    JSON,
    Kind,
    Operation,
    Operations,
    Section,
    header,
    query,
)
from inference.api.document.schemas import (
    BOOLEAN,
    INTEGER,
    STRING,
    Json,
    array,
    or_null,
    ref,
    shape,
)
from inference.engines.fields import Schema

_TAG, _TEXT = "Messages", or_null(STRING)
_VERSION = header("anthropic-version", STRING, "Any value; the answer has Anthropic's shape.")
_STREAM: Schema = {"description": "Server-sent events, as Anthropic has them."}
_ANSWERS: dict[str, Json] = {
    "Message": shape(
        id=STRING,
        type={"const": "message"},
        role={"const": "assistant"},
        model=STRING,
        content=array(shape(type=STRING)),
        stop_reason=_TEXT,
        stop_sequence=_TEXT,
        usage=shape(input_tokens=INTEGER, output_tokens=INTEGER),
    ),
    "TokenCount": shape(input_tokens=INTEGER),
    "AnthropicModel": shape(
        id=STRING,
        type={"const": "model"},
        display_name=STRING,
        created_at={"type": "string", "format": "date-time"},
        lifecycle=STRING,
        max_input_tokens=INTEGER,
        max_tokens=INTEGER,
    ),
    "AnthropicModelList": shape(
        data=array(ref("AnthropicModel")), has_more=BOOLEAN, first_id=_TEXT, last_id=_TEXT
    ),
}
_ERROR = shape(
    type={"const": "error"},
    error=shape(
        *("param", "code", "refusal_id"),
        type=STRING,
        message=STRING,
        param=_TEXT,
        code=_TEXT,
        refusal_id=STRING,
    ),
    request_id=_TEXT,
)
_OPERATIONS: Operations = {
    "/v1/messages": {
        "POST": Operation(
            "create_message",
            _TAG,
            "Answer a conversation",
            {JSON: ref("Message"), EVENTS: _STREAM},
            description="With `stream` the answer comes as events.",
            kind=Kind.RUN,
            body=ref("MessageRequest"),
            parameters=(_VERSION,),
        )
    },
    "/v1/messages/count_tokens": {
        "POST": Operation(
            "count_tokens",
            _TAG,
            "Count the tokens of a prompt",
            {JSON: ref("TokenCount")},
            kind=Kind.STORE,
            body=ref("TokenCountRequest"),
            parameters=(_VERSION,),
        )
    },
    "/v1/messages/{id}/events": {
        "GET": Operation(
            "resume_message",
            _TAG,
            "Read a stream of a message again",
            {EVENTS: _STREAM},
            variable="The id of a message.",
            parameters=(LAST_EVENT,),
        )
    },
    "/v1/models": {
        "GET": Operation(
            "list_models_of_anthropic",
            _TAG,
            "List models",
            {JSON: ref("AnthropicModelList")},
            description="With `anthropic-version` it is a page in Anthropic's shape.",
            parameters=(
                _VERSION,
                query("limit", {"type": "integer", "minimum": 1, "maximum": models.MOST}),
                query("after_id", STRING),
                query("before_id", STRING),
            ),
        )
    },
    "/v1/models/{model}": {
        "GET": Operation(
            "retrieve_model_of_anthropic",
            _TAG,
            "Describe a model",
            {JSON: ref("AnthropicModel")},
            description="With `anthropic-version` it has Anthropic's shape.",
            parameters=(_VERSION,),
        )
    },
}


def section() -> Section:
    requests = {
        "MessageRequest": request("model", "max_tokens", "messages"),
        "TokenCountRequest": request("model", "messages"),
    }
    return Section(("AnthropicError", _ERROR), _OPERATIONS, _ANSWERS | requests)
