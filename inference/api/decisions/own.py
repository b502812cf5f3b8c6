"""The caller's decision behind the id of a path."""

from inference.api import ownership
from inference.api.http.request import Request
from inference.errors import NotFound
from inference.models import Decision
from inference.models.decisions.decision import PREFIX
from tenants.caller import Caller

CODE = "decision_not_found"


async def own_decision(request: Request, caller: Caller, decision_id: str) -> Decision:
    """Returns the caller's decision. Raises NotFound, and records an attempt at another's."""
    refusal = NotFound("there is no such decision", code=CODE)
    rows, pk = Decision.objects.all(), ownership.parsed_id(decision_id, PREFIX)
    decision: Decision = await ownership.own(request.call, caller, rows, pk, refusal, CODE)
    return decision
