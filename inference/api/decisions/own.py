"""The caller's decision behind the id of a path."""

from uuid import UUID

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
    rows, pk = Decision.objects.all(), _parsed(decision_id)
    decision: Decision = await ownership.own(request.call, caller, rows, pk, refusal, CODE)
    return decision


def _parsed(text: str) -> UUID | None:
    """Returns the id; None if it cannot be one."""
    number = text.removeprefix(PREFIX)
    if text == number or len(number) not in (32, 36):
        return None
    try:
        return UUID(hex=number)
    except ValueError:
        return None
