"""One HTTP request of a call: sent once, with bounds of time and size, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from inference.actions import schemas
from inference.models.assistants.action_call import CallState
from infrastructure.webhooks import posting
from infrastructure.webhooks.posting import Post

LARGEST_ANSWER = 64 * 1024  # bytes
# The service has the request, and may have acted on it all the same.
_DOUBTFUL = (408,)


@dataclass(frozen=True, slots=True)
class Delivery:
    url: str
    body: bytes
    headers: Mapping[str, str]
    timeout_s: float
    answer_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    state: CallState
    reason: str = ""
    status: int | None = None
    answer: dict[str, Any] = field(default_factory=dict)


async def send(delivery: Delivery) -> Outcome:
    """Send it, once. Redirects are not followed."""
    post = Post(delivery.url, delivery.body, delivery.headers, delivery.timeout_s)
    answer = await posting.send(post, LARGEST_ANSWER)
    if answer.status is None:
        state = CallState.UNKNOWN if answer.is_sent else CallState.NOT_SENT
        return Outcome(state, answer.problem)
    return _outcome(answer.status, answer.body, delivery.answer_schema)


def _outcome(status: int, raw: bytes | None, schema: dict[str, Any]) -> Outcome:
    if status >= 500 or status in _DOUBTFUL:
        return Outcome(CallState.UNKNOWN, "service_error", status)
    if status >= 400:
        return Outcome(CallState.FAILED, "refused", status)
    if (
        status >= 300
    ):  # many services redirect to a page about what they have done (RFC 9110 15.4.4)
        return Outcome(CallState.UNKNOWN, "redirect", status)
    answer = _parsed(raw) if raw is not None else None
    if answer is None or schemas.problem(schema, answer):
        return Outcome(CallState.UNKNOWN, "wrong_answer", status)
    return Outcome(CallState.SUCCEEDED, "", status, answer)


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None
