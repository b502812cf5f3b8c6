"""The headers that the platform reads and adds, the same for all front ends."""

from audit.proof import receipts
from inference.api import call
from inference.api.document.operation import Kind, header
from inference.api.document.schemas import BOOLEAN, INTEGER, STRING, Json
from inference.api.idempotency import REPLAYED
from inference.engines.fields import Schema
from inference.intake import cache_lookup, idempotency_claim, submission
from inference.local_only import HEADER as RESIDENCY
from inference.local_only import LOCAL
from tenants.models.quotas.quota import Unit

_KEY: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": idempotency_claim.LONGEST,
    "pattern": "^[ -~]+$",
}
_CACHE: Schema = {"type": "string", "enum": [*cache_lookup.WORDS]}
_IDEMPOTENCY = "IdempotencyKey"
OPTIONS: dict[str, Json] = {
    _IDEMPOTENCY: header(
        idempotency_claim.HEADER,
        _KEY,
        "Sent twice with the same key within 24 hours, the request runs once and has one answer.",
    ),
    "Residency": header(
        RESIDENCY,
        {"type": "string", "enum": [LOCAL]},
        "Only engines of this installation serve the request.",
    ),
    "Class": header(
        submission.CLASS, STRING, "A class of work below that of the plan, such as `batch`."
    ),
    "Cache": header(
        cache_lookup.CACHE, _CACHE, "Whether a kept answer may serve the request, or be kept."
    ),
}
OPTIONS_OF: dict[Kind, tuple[str, ...]] = {
    Kind.LOOK: (),
    Kind.STORE: (),
    Kind.BEGIN: (_IDEMPOTENCY,),
    Kind.RUN: tuple(OPTIONS),
}
LAST_EVENT = header(
    "Last-Event-ID",
    {"type": "string", "pattern": "^[0-9]{0,12}$"},
    "The stream goes on after the event with this id; without it the stream begins.",
)
_REST = "of the tightest limit"
_QUOTA = "of the tightest quota; one header for each unit"
_LIMITS: dict[str, tuple[Schema, str]] = {
    **{
        f"x-ratelimit-{figure}-{unit}": (STRING if figure == "reset" else INTEGER, _REST)
        for unit in ("requests", "tokens")
        for figure in ("limit", "remaining", "reset")
    },
    "x-ratelimit-scope": (STRING, "The name of the tightest limit."),
}
_ALWAYS = {
    "x-request-id": (STRING, "The id of the request; a completion's is that on record."),
    **_LIMITS,
}
_REPLAYED: dict[str, tuple[Schema, str]] = {
    REPLAYED[0].decode(): (BOOLEAN, "It is the answer of an earlier request with the same key.")
}
_RUN: dict[str, tuple[Schema, str]] = {
    **{
        f"x-quota-{figure}-{unit}": (STRING if figure == "reset" else INTEGER, _QUOTA)
        for unit in (unit.replace("_", "-") for unit in Unit.values)
        for figure in ("limit", "remaining", "reset")
    },
    call.UPSTREAM.decode(): (STRING, "Who served: pool/engine/kind."),
    call.POSITION.decode(): (INTEGER, "The place in the queue as the request joined it."),
    call.EXPECTED_WAIT.decode(): (INTEGER, "The milliseconds that it was expected to wait."),
    call.PREEMPTIONS.decode(): (INTEGER, "How often it gave its slot to a higher class."),
    call.CACHE.decode(): (STRING, "hit or miss, where a kept answer was looked for."),
    call.TEMPLATE.decode(): (STRING, "The version of the prompt template."),
    submission.CLASS: (STRING, "The class of work."),
    **_REPLAYED,
    receipts.HEADER.decode(): (STRING, "A signed receipt of the request."),
}
OF_ANSWER = {
    Kind.LOOK: _ALWAYS,
    Kind.STORE: _ALWAYS,
    Kind.BEGIN: _ALWAYS | _REPLAYED,
    Kind.RUN: _ALWAYS | _RUN,
}
_WAIT: dict[str, tuple[Schema, str]] = {"retry-after": (INTEGER, "Seconds to wait.")}
_REFUSED: dict[str, tuple[Schema, str]] = {
    "retry-after-ms": (INTEGER, "Milliseconds to wait."),
    "x-refusal-id": (STRING, "The id under which the tenant's refusals explain it."),
    "x-should-retry": (BOOLEAN, "false where asking again does not help."),
}
OF_STATUS = {429: _ALWAYS | _WAIT | _REFUSED, 503: _ALWAYS | _WAIT}
OF_ERRORS = _ALWAYS
ALL = _ALWAYS | _RUN | _WAIT | _REFUSED
