"""`/v1/responses/{id}`: a stored response, its deletion and its cancellation."""

import asyncio

from audit.trail.truncated_address import network
from inference.api import cancelling
from inference.api.call import Call
from inference.api.http.callers import address_counted_caller
from inference.api.http.request import Request
from inference.api.ownership import repeatable_in_scope
from inference.api.responses.stored import query, resource, stream
from inference.api.stream_resumption import still_open
from inference.errors import BadRequest
from inference.models import Completion, StoredResponse
from inference.stored_responses.record import RecordedResponse, recorded
from tenants.caller import Caller

CANCEL_PATIENCE_S, POLL_S = 5.0, 0.05
_PARAMETERS = ("stream", "starting_after", "include_obfuscation")


async def retrieve(request: Request, response_id: str) -> None:
    caller = await address_counted_caller(request)
    wanted = query.parameters(request, _PARAMETERS)
    streamed = query.flag(wanted, "stream")
    after = query.number(wanted, "starting_after", -1, 0)
    row = await resource.own(request.call, caller, response_id)
    response = await resource.read(row)
    if streamed:
        return await stream.send_again(request, caller, response, after)
    return await request.answer_json(await resource.written(request.call, response))


async def cancel(request: Request, response_id: str) -> None:
    """Cancel a response in the background, and answer with what has become of it."""
    call, caller = request.call, await address_counted_caller(request)
    row = await resource.own(call, caller, response_id)
    if not row.background:
        what = "only a response with `background` can be cancelled; another ends with its client"
        raise BadRequest(what, code="response_not_in_background")
    response = await resource.read(row)
    if response.is_open:
        await _end(call, caller, response)
        await _wait_for_settlement(response.completion)
        response = await resource.read(row)
    await request.answer_json(await resource.written(call, response))


async def delete(request: Request, response_id: str) -> None:
    """Delete a response, and end it if it still runs. It may be repeated."""
    call, caller = request.call, await address_counted_caller(request)
    every = StoredResponse.objects.all()
    row = await resource.own(call, caller, response_id, rows=every)
    response = await repeatable_in_scope(row.tenant_id, recorded, row)
    by = caller.actor, network(call.client_ip)
    await repeatable_in_scope(row.tenant_id, row.withdraw, *by)
    if response and response.is_open:
        await _end(call, caller, response)
    await request.answer_json({"id": row.public_id, "object": "response", "deleted": True})


async def _end(call: Call, caller: Caller, response: RecordedResponse) -> None:
    await cancelling.cancel(call, caller, str(response.id))


async def _wait_for_settlement(completion: Completion) -> None:
    """Wait until it is settled: what a client is told is on record."""
    for _ in range(int(CANCEL_PATIENCE_S / POLL_S)):
        if not await still_open(completion):
            return
        await asyncio.sleep(POLL_S)
