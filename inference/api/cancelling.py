"""Cancels a request for its caller. The answer so far stays."""

from functools import partial

from channels.db import database_sync_to_async

from inference.api import ownership
from inference.api.call import Call
from inference.api.stream_resumption import parsed_id, still_open
from inference.errors import NotFound
from inference.models import Completion
from inference.models.completion import State
from inference.order import Order
from inference.record.recorded import recorded_order
from tenants.caller import Caller
from tenants.scope import tenant_scope


async def cancel(call: Call, caller: Caller, request_id: str) -> bool:
    """Cancel a request without waiting for its end. Returns whether it was open.

    Raises NotFound, and records an attempt at another's request.
    """
    refusal = NotFound("there is no such request", param="request_id")
    requests, pk = Completion.objects.all(), parsed_id(request_id)
    completion = await ownership.own(call, caller, requests, pk, refusal, "request_not_found")
    if completion.state != State.OPEN:
        return False
    if order := await _order(completion):
        insisting = call.context.cancellation.insist(order, partial(still_open, completion))
        call.context.background.run(insisting)
    return True


@database_sync_to_async
def _order(completion: Completion) -> Order | None:
    with tenant_scope(completion.tenant_id):
        record = recorded_order(completion.pk)
    return record[1] if record else None
