"""`GET /v1/responses/{id}?stream=true`: the events of a response again, live while it runs.

Kept events are those of the platform's streams (inference/stream). Once they have expired, the
record has the answer: its events again, or the last one alone for a client that had some.
"""

from contextlib import suppress

import orjson

from inference.api.call import Call
from inference.api.http import streaming
from inference.api.http.request import Request
from inference.api.responses import output
from inference.api.responses.events import KEEP_ALIVE, EventWriter
from inference.api.responses.stored import resource
from inference.codec import pieces
from inference.errors import BadRequest
from inference.stored_responses.record import RecordedResponse
from inference.stream import frames
from inference.stream.frames import Frame, Kind
from inference.validation.schemas import Body
from infrastructure.redis.link import TROUBLE
from tenants.caller import Caller

NOTHING = -1  # the number of the event before the first
_ENDS = (output.COMPLETED, output.INCOMPLETE)


async def send_again(
    request: Request, caller: Caller, response: RecordedResponse, after: int
) -> None:
    """Send the events after number `after`. Raises BadRequest, NotFound, NotAdmitted."""
    if not response.order.stream:
        what = "this response was created without `stream`, so it has no events"
        raise BadRequest(what, code="response_not_streamed", param="stream")
    if response.is_open or await _has_events(request.call, response):
        written, completion = _writer(response, after).written, response.completion
        return await streaming.send_again(request, caller, completion, written, KEEP_ALIVE)
    return await _send_recorded(request, response, after)


def _writer(response: RecordedResponse, after: int) -> EventWriter:
    return EventWriter(resource.shape(response), after=after)


async def _has_events(call: Call, response: RecordedResponse) -> bool:
    with suppress(*TROUBLE):
        return bool(await call.context.redis.call("EXISTS", frames.history(response.id.bytes)))
    return False


async def _send_recorded(request: Request, response: RecordedResponse, after: int) -> None:
    if after == NOTHING and response.answer is not None:
        number, body = pieces.as_events(response.answer, include_usage=True)
        frame = Frame(response.id.bytes, 1, number, Kind.END, body)
        text = _writer(response, after).written(frame)
    else:
        text = _last_event(await resource.written(request.call, response), after + 1)
    await request.start(200, streaming.EVENT_STREAM)
    await request.write(text, more=False)


def _last_event(response: Body, number: int) -> bytes:
    status = response["status"]
    kind = f"response.{status if status in _ENDS else output.FAILED}"
    event = {"type": kind, "sequence_number": number, "response": response}
    text = b"event: %b\ndata: %b\n\ndata: [DONE]\n\n"
    return text % (kind.encode(), orjson.dumps(event))
