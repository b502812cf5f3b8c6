"""Cancels a request for its caller. The answer so far stays."""

from functools import partial

from channels.db import database_sync_to_async

from inference.api.call import Call
from inference.api.stream_resumption import of_caller, parsed_id, still_open
from inference.errors import NotFound
from inference.intake.refusals import denied
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
    completion = await _own(caller, request_id)
    if completion is None:
        where = call.context, caller, call.route, call.client_ip
        denied(*where, status=404, code="request_not_found")
        raise NotFound("there is no such request", param="request_id")
    if completion.state != State.OPEN:
        return False
    if order := await _order(completion):
        insisting = call.context.cancellation.insist(order, partial(still_open, completion))
        call.context.background.run(insisting)
    return True


@database_sync_to_async
def _own(caller: Caller, request_id: str) -> Completion | None:
    if (uuid := parsed_id(request_id)) is None:
        return None
    with tenant_scope(caller.tenant_id):
        return of_caller(caller).filter(id=uuid).first()


@database_sync_to_async
def _order(completion: Completion) -> Order | None:
    with tenant_scope(completion.tenant_id):
        record = recorded_order(completion.pk)
    return record[1] if record else None
