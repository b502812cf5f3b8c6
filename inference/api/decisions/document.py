"""The operations of decisions, for the OpenAPI document."""

from inference.api.decision_flow.requests import FIELDS
from inference.api.document.operation import JSON, Kind, Operation, Operations, Section, query
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
    checked_body,
    closed,
    listing,
    or_null,
    ref,
    shape,
)
from inference.decisions.explanation_words import LANGUAGES
from inference.engines.fields import Schema
from inference.models import ContestState, ExplanationState
from inference.models.decisions.decision import DecisionFeedback, DecisionOutcome, DecisionSource

_TAG, _ID = "Decisions", "The id of a decision."


def _one_of(words: list[str]) -> Schema:
    return {"type": "string", "enum": words}


_FEEDBACK, _OUTCOME = _one_of(DecisionFeedback.values), _one_of(DecisionOutcome.values)
_VALUE: Schema = {"type": ["string", "number", "boolean"]}
_SCHEMAS: dict[str, Json] = {
    "Decision": shape(
        *("reasons", "input"),
        id=STRING,
        object={"const": "decision"},
        created_at=UNIX,
        policy=STRING,
        version=INTEGER,
        challenger=BOOLEAN,
        outcome=_OUTCOME,
        score=or_null(NUMBER),
        raw_score=or_null(NUMBER),
        thresholds=shape(review=NUMBER, block=NUMBER),
        source=_one_of(DecisionSource.values),
        fallback=or_null(STRING),
        reasons=array(shape(code=STRING, message=STRING)),
        deadline_ms=INTEGER,
        latency_ms=INTEGER,
        completion=or_null(STRING),
        feedback=or_null(_FEEDBACK),
        final_outcome=or_null(_OUTCOME),
        input=or_null(OBJECT),
    ),
    "DecisionList": listing(ref("Decision")),
    "DecisionRequest": checked_body(FIELDS),
    "DecisionFeedback": closed(("feedback",), feedback=_FEEDBACK),
    "DecisionContest": shape(
        id=STRING,
        object={"const": "decision.contest"},
        decision=STRING,
        state=_one_of(ContestState.values),
        created_at=UNIX,
        due_at=UNIX,
        closed_at=or_null(UNIX),
        statement=STRING,
        answer=or_null(STRING),
        final_outcome=or_null(_OUTCOME),
    ),
    "DecisionContestRequest": closed((), statement=STRING),
    "DecisionExplanation": shape(
        *("outcome", "source", "score", "score_again", "thresholds"),
        object={"const": "decision.explanation"},
        decision=STRING,
        state=_one_of(ExplanationState.values),
        problem=or_null(STRING),
        language=_one_of([*LANGUAGES]),
        sentences=array(STRING),
        not_examined=array(STRING),
        inputs=array(
            shape(
                input=STRING,
                value=_VALUE,
                neutral=_VALUE,
                outcome=_OUTCOME,
                score=or_null(NUMBER),
                effect=or_null(NUMBER),
            )
        ),
        outcome=_OUTCOME,
        source=_one_of(DecisionSource.values),
        score=or_null(NUMBER),
        score_again=or_null(NUMBER),
        thresholds=shape(review=NUMBER, block=NUMBER),
    ),
}
_OPERATIONS: Operations = {
    "/v1/decisions": {
        "POST": Operation(
            "create_decision",
            _TAG,
            "Decide about a person by a policy",
            {JSON: ref("Decision")},
            description="Answers within the policy's deadline. `fallback` names why the policy's "
            "fallback decided instead of its model.",
            kind=Kind.RUN,
            body=ref("DecisionRequest"),
        ),
        "GET": Operation(
            "list_decisions",
            _TAG,
            "List decisions",
            {JSON: ref("DecisionList")},
            parameters=(
                query("policy", STRING, "The name of a policy."),
                query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
                query("after", STRING, "The last id of the page before."),
                query("order", {"type": "string", "enum": ["asc", "desc"]}),
            ),
        ),
    },
    "/v1/decisions/{id}": {
        "GET": Operation(
            "retrieve_decision",
            _TAG,
            "Describe a decision",
            {JSON: ref("Decision")},
            variable=_ID,
        )
    },
    "/v1/decisions/{id}/outcome": {
        "POST": Operation(
            "give_decision_feedback",
            _TAG,
            "Say what really happened",
            {JSON: ref("Decision")},
            kind=Kind.STORE,
            body=ref("DecisionFeedback"),
            variable=_ID,
        )
    },
    "/v1/decisions/{id}/contest": {
        "GET": Operation(
            "retrieve_decision_contest",
            _TAG,
            "Describe the latest contest of a decision",
            {JSON: ref("DecisionContest")},
            variable=_ID,
        ),
        "POST": Operation(
            "contest_decision",
            _TAG,
            "Contest a decision for its person",
            {JSON: ref("DecisionContest")},
            description="A human who has not decided it before reviews it within 30 days.",
            kind=Kind.STORE,
            body=ref("DecisionContestRequest"),
            variable=_ID,
        ),
    },
    "/v1/decisions/{id}/explanation": {
        "GET": Operation(
            "explain_decision",
            _TAG,
            "Explain a decision by the inputs that moved its score",
            {JSON: ref("DecisionExplanation")},
            description="The first request asks the model once for each input; the explanation is "
            "stored. `state` is `making` while another request makes it.",
            parameters=(query("language", _one_of([*LANGUAGES])),),
            variable=_ID,
        )
    },
}


def section() -> Section:
    return Section(ERROR, _OPERATIONS, _SCHEMAS)
