"""The operations of the Responses API, for the OpenAPI document."""

from inference.api.document.headers import LAST_EVENT
from inference.api.document.operation import (
    EVENTS,
    JSON,
    Kind,
    Operation,
    Operations,
    Section,
    query,
)
from inference.api.document.schemas import (
    BOOLEAN,
    ERROR,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    UNIX,
    Json,
    array,
    body,
    listing,
    or_null,
    ref,
    shape,
)
from inference.api.responses.fields import FIELDS, OF_COMPACTION, OF_COUNTING
from inference.api.responses.stored.input_items import DEFAULT, MOST
from inference.engines.fields import Schema

_TAG, _ID = "Responses", "The id of a response."
_STREAM: Schema = {"description": "Server-sent events; the last is `[DONE]`."}
# What a response repeats of its request, with what holds where that said nothing.
_OF_THE_REQUEST: dict[str, Schema] = {
    "background": BOOLEAN,
    "frequency_penalty": NUMBER,
    "instructions": or_null(STRING),
    "max_output_tokens": or_null(INTEGER),
    "max_tool_calls": or_null(INTEGER),
    "metadata": OBJECT,
    "parallel_tool_calls": BOOLEAN,
    "presence_penalty": NUMBER,
    "previous_response_id": or_null(STRING),
    "prompt": or_null(OBJECT),
    "prompt_cache_key": or_null(STRING),
    "reasoning": OBJECT,
    "safety_identifier": or_null(STRING),
    "service_tier": STRING,
    "store": BOOLEAN,
    "temperature": NUMBER,
    "text": OBJECT,
    "tool_choice": {"type": ["string", "object"]},
    "tools": array(OBJECT),
    "top_logprobs": INTEGER,
    "top_p": NUMBER,
    "truncation": STRING,
    "user": or_null(STRING),
}
_SCHEMAS: dict[str, Json] = {
    "Response": shape(
        id=STRING,
        object={"const": "response"},
        created_at=UNIX,
        completed_at=or_null(UNIX),
        status=STRING,
        model=STRING,
        output=array(shape(type=STRING)),
        usage=or_null(OBJECT),
        error=or_null(OBJECT),
        incomplete_details=or_null(OBJECT),
        **_OF_THE_REQUEST,
    ),
    "ResponseDeleted": shape(id=STRING, object=STRING, deleted=BOOLEAN),
    "ResponseItemList": listing(OBJECT),
    "ResponseTokens": shape(object={"const": "response.input_tokens"}, input_tokens=INTEGER),
    "ResponseCompaction": shape(
        id=STRING,
        object={"const": "response.compaction"},
        created_at=UNIX,
        output=array(OBJECT),
        usage=or_null(OBJECT),
    ),
}
_OPERATIONS: Operations = {
    "/v1/responses": {
        "POST": Operation(
            "create_response",
            _TAG,
            "Answer input items",
            {JSON: ref("Response"), EVENTS: _STREAM},
            description="With `stream` the answer comes as events.",
            kind=Kind.RUN,
            body=ref("ResponseRequest"),
        )
    },
    "/v1/responses/input_tokens": {
        "POST": Operation(
            "count_response_tokens",
            _TAG,
            "Count the tokens of a prompt",
            {JSON: ref("ResponseTokens")},
            kind=Kind.STORE,
            body=ref("ResponseTokensRequest"),
        )
    },
    "/v1/responses/compact": {
        "POST": Operation(
            "compact_response",
            _TAG,
            "Sum up a conversation",
            {JSON: ref("ResponseCompaction")},
            kind=Kind.RUN,
            body=ref("ResponseCompactionRequest"),
        )
    },
    "/v1/responses/{id}": {
        "GET": Operation(
            "retrieve_response",
            _TAG,
            "Describe a stored response, or read its stream again",
            {JSON: ref("Response"), EVENTS: _STREAM},
            variable=_ID,
            parameters=(
                query("stream", BOOLEAN),
                query("starting_after", {"type": "integer", "minimum": 0}),
            ),
        ),
        "DELETE": Operation(
            "delete_response",
            _TAG,
            "Delete a stored response",
            {JSON: ref("ResponseDeleted")},
            variable=_ID,
            conflicts=True,
        ),
    },
    "/v1/responses/{id}/cancel": {
        "POST": Operation(
            "cancel_response",
            _TAG,
            "End a response that is made in the background",
            {JSON: ref("Response")},
            variable=_ID,
            conflicts=True,
        )
    },
    "/v1/responses/{id}/input_items": {
        "GET": Operation(
            "list_input_items",
            _TAG,
            "List the input of a stored response",
            {JSON: ref("ResponseItemList")},
            variable=_ID,
            parameters=(
                query(
                    "limit",
                    {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT},
                ),
                query("after", STRING, "The last id of the page before."),
                query("order", {"type": "string", "enum": ["asc", "desc"]}),
            ),
        )
    },
    "/v1/responses/{id}/events": {
        "GET": Operation(
            "resume_response",
            _TAG,
            "Read a stream again",
            {EVENTS: _STREAM},
            variable=_ID,
            parameters=(LAST_EVENT,),
        )
    },
}


def section() -> Section:
    requests = {
        "ResponseRequest": _request(tuple(FIELDS)),
        "ResponseTokensRequest": _request(OF_COUNTING),
        "ResponseCompactionRequest": _request(OF_COMPACTION),
    }
    return Section(ERROR, _OPERATIONS, _SCHEMAS | requests)


def _request(names: tuple[str, ...]) -> Json:
    return body({name: [FIELDS[name].rule] for name in names}, ("model",))
