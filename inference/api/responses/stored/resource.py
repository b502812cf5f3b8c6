"""Finds a stored response of the caller, and writes it as OpenAI's object."""

from contextlib import suppress

import orjson

from inference.api import ownership
from inference.api.call import Call
from inference.api.ownership import repeatable_in_scope
from inference.api.responses import answers, output, requests
from inference.api.responses.output import Shape
from inference.errors import NotFound
from inference.models import Completion, State, StoredResponse
from inference.models.stored_response import StoredResponseQuerySet
from inference.order import Order
from inference.record.recorded_requests import recorded_order
from inference.stored_responses.record import RecordedResponse, recorded
from inference.stream.frames import Frame, Kind
from inference.validation.schemas import Body
from infrastructure.redis.link import TROUBLE
from tenants.caller import Caller

CODE, PREFIX = "response_not_found", "resp_"
NO_CODE = "server_error"


def not_found() -> NotFound:
    return NotFound("there is no such response", code=CODE)


async def own(
    call: Call,
    caller: Caller,
    response_id: str,
    *,
    rows: StoredResponseQuerySet | None = None,
    refusal: NotFound | None = None,
) -> StoredResponse:
    """Returns the caller's row. Raises the refusal, and records an attempt at another's."""
    rows = StoredResponse.objects.present() if rows is None else rows
    pk, error = ownership.parsed_id(response_id, PREFIX), refusal or not_found()
    row: StoredResponse = await ownership.own(call, caller, rows, pk, error, error.code)
    return row


async def read(row: StoredResponse, refusal: NotFound | None = None) -> RecordedResponse:
    """Returns the response. Raises the refusal if its texts have been erased."""
    response = await repeatable_in_scope(row.tenant_id, recorded, row)
    if response is None:
        raise refusal or not_found()
    return response


def shape(response: RecordedResponse) -> Shape:
    return _shape(response.order, response.head)


async def shape_of(completion: Completion) -> Shape:
    """Returns the shape of any stream's response; of one that is not stored, by its model alone."""
    record = await repeatable_in_scope(completion.tenant_id, recorded_order, completion.pk)
    if record and (stored := record[1].stored):
        return _shape(record[1], orjson.loads(stored.head))
    created_at, head = int(completion.created_at.timestamp()), requests.head_of(completion.model)
    return Shape(completion.pk, created_at, head)


def _shape(order: Order, made_with: Body) -> Shape:
    head, packs_thoughts = made_with["head"], made_with["packs_thoughts"]
    return Shape(order.id, int(order.created_at), head, packs_thoughts)


async def written(call: Call, response: RecordedResponse) -> Body:
    """Returns OpenAI's object. Raises NotFound for an answer that is none."""
    match response.state:
        case State.OPEN:
            status = output.IN_PROGRESS if await _runs(call, response) else output.QUEUED
            return shape(response).response(status)
        case State.DONE:
            return of_answer(response)
        case State.CANCELLED:
            return shape(response).response(output.CANCELLED)
    code = response.error_code or NO_CODE
    error = {"code": code, "message": f"this response ended with `{code}`"}
    return shape(response).response(output.FAILED, error=error)


def of_answer(response: RecordedResponse) -> Body:
    """Returns the object of an answer. Raises NotFound if the record has another form of it."""
    frame = Frame(response.id.bytes, 1, 0, Kind.BODY, response.answer or b"")
    try:
        whole = answers.response(frame, shape(response))
    except (LookupError, TypeError, ValueError, AttributeError):  # a worker of an earlier version
        raise not_found() from None
    settled_at = response.completion.settled_at
    if whole["status"] == output.COMPLETED and settled_at:
        whole["completed_at"] = int(settled_at.timestamp())
    return whole


async def _runs(call: Call, response: RecordedResponse) -> bool:
    """Returns whether a runner has it, or whether nobody knows."""
    queue = call.context.queues[response.completion.queue]
    with suppress(*TROUBLE):
        return await queue.runs(str(response.id))
    return True
