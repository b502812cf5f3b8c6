"""The operations of dialogues, for the OpenAPI document."""

from inference.api.dialogues import fields
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
    ERROR,
    INTEGER,
    STRING,
    UNIX,
    Json,
    array,
    checked_body,
    or_null,
    ref,
    shape,
)
from inference.engines.fields import Schema

_TAG, _ID = "Dialogues", "The id of a dialogue."
_STREAM: Schema = {
    "description": "Server-sent events: `message`, `delta`, `status`, `error`, and `end` at last.",
}
LAST_EVENT = header(
    "Last-Event-ID",
    {"type": "string", "pattern": r"^(\d{1,9}(\.\d{1,6})?)?$"},
    "The stream goes on after the event with this id; without it the dialogue begins.",
)
_SOURCE = shape(id=STRING, title=STRING, url=STRING)
_SCHEMAS: dict[str, Json] = {
    "Dialogue": shape(
        id=STRING,
        object={"const": "dialogue"},
        status={"type": "string", "enum": ["open", "waiting", "with_human", "resolved", "closed"]},
        assistant=STRING,
        assistant_version=INTEGER,
        language=STRING,
        channel=STRING,
        created_at=UNIX,
        closed_at=or_null(UNIX),
        satisfaction=or_null(INTEGER),
        resolved=or_null(BOOLEAN),
        messages=INTEGER,
    ),
    "DialogueMessage": shape(
        *("sources", "intent", "step", "worded_by", "client_id"),
        id=STRING,
        object={"const": "dialogue.message"},
        number=INTEGER,
        role={"type": "string", "enum": ["person", "assistant", "human"]},
        text=or_null(STRING),
        created_at=UNIX,
        sources=array(_SOURCE),
        intent=STRING,
        step=STRING,
        worded_by=STRING,
        client_id=STRING,
    ),
    "DialogueTurn": shape(
        object={"const": "dialogue.turn"},
        dialogue=ref("Dialogue"),
        message=ref("DialogueMessage"),
        answer=or_null(ref("DialogueMessage")),
    ),
    "DialogueMessageList": shape(
        object={"const": "list"}, data=array(ref("DialogueMessage")), has_more=BOOLEAN
    ),
    "WidgetSession": shape(
        object={"const": "widget.session"},
        token=STRING,
        expires_at=UNIX,
        expires_in=INTEGER,
        languages=array(STRING),
    ),
    "DialogueRequest": checked_body(fields.BEGINNING),
    "DialogueMessageRequest": checked_body(fields.MESSAGE),
    "DialogueClosing": checked_body(fields.CLOSING),
    "WidgetSessionRequest": checked_body(fields.SESSION),
}
_OPERATIONS: Operations = {
    "/v1/dialogues": {
        "POST": Operation(
            "create_dialogue",
            _TAG,
            "Begin a dialogue of a person with an assistant",
            {JSON: ref("Dialogue")},
            description="With a visitor's token, assistant and person are the widget's.",
            kind=Kind.STORE,
            body=ref("DialogueRequest"),
            conflicts=True,
        )
    },
    "/v1/dialogues/{id}": {
        "GET": Operation(
            "retrieve_dialogue", _TAG, "Describe a dialogue", {JSON: ref("Dialogue")}, variable=_ID
        )
    },
    "/v1/dialogues/{id}/messages": {
        "GET": Operation(
            "list_dialogue_messages",
            _TAG,
            "List the messages, or follow them",
            {JSON: ref("DialogueMessageList"), EVENTS: _STREAM},
            description="With `Accept: text/event-stream` or Last-Event-ID it is a stream.",
            variable=_ID,
            parameters=(
                LAST_EVENT,
                query("after", {"type": "integer", "minimum": 0}, "The number of a message."),
                query("limit", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
            ),
        ),
        "POST": Operation(
            "send_dialogue_message",
            _TAG,
            "Send a message of the person, and get the answer",
            {JSON: ref("DialogueTurn"), EVENTS: _STREAM},
            description="With `stream` the answer comes sentence by sentence.",
            kind=Kind.STORE,
            body=ref("DialogueMessageRequest"),
            variable=_ID,
            parameters=(LAST_EVENT,),
            conflicts=True,
        ),
    },
    "/v1/dialogues/{id}/close": {
        "POST": Operation(
            "close_dialogue",
            _TAG,
            "Close a dialogue, with the person's opinion",
            {JSON: ref("Dialogue")},
            body=ref("DialogueClosing"),
            variable=_ID,
        )
    },
    "/v1/widget/sessions": {
        "POST": Operation(
            "create_widget_session",
            _TAG,
            "Get a visitor's token, on a page of an allowed origin",
            {JSON: ref("WidgetSession")},
            kind=Kind.STORE,
            body=ref("WidgetSessionRequest"),
        )
    },
}


def section() -> Section:
    return Section(ERROR, _OPERATIONS, _SCHEMAS)
