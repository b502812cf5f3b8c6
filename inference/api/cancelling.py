"""Cancels a request for its caller. The answer so far stays."""

from functools import partial

from inference.api import ownership
from inference.api.call import Call
from inference.api.stream_resumption import parsed_id, still_open
from inference.errors import NotFound
from inference.models import Completion
from inference.models.completion import State
from inference.record.recorded_requests import recorded_order
from tenants.caller import Caller


async def cancel(call: Call, caller: Caller, request_id: str) -> bool:
    """Cancel a request without waiting for its end. Returns whether it was open.

    Raises NotFound, and records an attempt at another's request.
    """
    refusal = NotFound("there is no such request", param="request_id")
    requests, pk = Completion.objects.all(), parsed_id(request_id)
    completion = await ownership.own(call, caller, requests, pk, refusal, "request_not_found")
    if completion.state != State.OPEN:
        return False
    if record := await ownership.repeatable_in_scope(
        caller.tenant_id, recorded_order, completion.pk
    ):
        insisting = call.context.cancellation.insist(record[1], partial(still_open, completion))
        call.context.background.run(insisting)
    return True
