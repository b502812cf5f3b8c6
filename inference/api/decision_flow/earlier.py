"""`Idempotency-Key`: of a key there is one decision, for as long as the decision is kept.

The key also claims the request to the engine (inference/api/idempotency.py). So if a process dies
between the engine's answer and the decision, the next try reads that answer, and decides once.
"""

import hmac
from dataclasses import replace

from inference.api import idempotency
from inference.api.decision_flow.people import Subject, refusals, subject_of
from inference.api.decision_flow.requests import ROUTE, DecisionRequest
from inference.api.ownership import readable, repeatable_in_scope
from inference.api.replay import answer_gone, in_service
from inference.errors import KeyReused
from inference.intake.idempotency_claim import HEADER, Claim
from inference.local_only import HEADER as RESIDENCY
from inference.models import Decision
from tenants.caller import Caller


def claim_of(request: DecisionRequest) -> Claim | None:
    """Returns the claim of the request's key; None without one. Raises BadRequest."""
    if request.idempotency_key is None:
        return None
    body = request.body
    if request.requested_residency:
        body[RESIDENCY] = request.requested_residency
    return Claim.of(request.idempotency_key, ROUTE, body)


async def look_up(caller: Caller, claim: Claim) -> tuple[Claim, Decision | None]:
    """Returns the claim with its owner, and the decision that the key has.

    Raises KeyReused, Conflict, OutOfService.
    """
    with in_service():
        return await repeatable_in_scope(caller.tenant_id, _look_up, caller, claim)


async def with_person(
    caller: Caller, claim: Claim, reference: str
) -> tuple[Claim, Decision | None, Subject | None]:
    """Returns what `look_up` does, and the person unless there is a decision.

    One transaction does both. Raises as `look_up` and `people.of` do.
    """
    with in_service(), refusals():
        return await repeatable_in_scope(caller.tenant_id, _with_person, caller, claim, reference)


def _with_person(
    caller: Caller, claim: Claim, reference: str
) -> tuple[Claim, Decision | None, Subject | None]:
    claim, decision = _look_up(caller, claim)
    subject = None if decision else subject_of(caller.tenant_id, reference)
    return claim, decision, subject


def _look_up(caller: Caller, claim: Claim) -> tuple[Claim, Decision | None]:
    claim = replace(claim, owner=idempotency.owner_of(caller))
    assert claim.owner
    rows = Decision.objects.filter(tenant_id=caller.tenant_id)
    decision = rows.under(claim.owner, claim.key).first()
    if decision is None:
        return claim, None
    if not hmac.compare_digest(bytes(decision.key_body or b""), claim.body):
        raise KeyReused(
            f"this {HEADER} was sent with another request; send a new request with a new key, or "
            "the same request again, with the same values",
            param=HEADER,
        )
    if not readable(Decision.objects.all(), caller).filter(pk=decision.pk).exists():
        raise answer_gone("this API key may not read the decision")
    return claim, decision
