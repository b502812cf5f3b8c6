"""A decision from its request to its record. The policy's fallback decides what no engine can."""

import asyncio
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from inference.api.call import Call
from inference.api.decision_flow import answers, earlier, engine_score, shadow
from inference.api.decision_flow.clock import Clock
from inference.api.decision_flow.people import Subject, people
from inference.api.decision_flow.recording import Matter, record
from inference.api.decision_flow.requests import DecisionRequest
from inference.api.idempotency import REPLAYED
from inference.api.ownership import repeatable_in_scope
from inference.decisions.serving import Serving, serving
from inference.errors import Conflict, NotFound
from inference.intake.errors import OutOfService
from inference.intake.idempotency_claim import Claim
from inference.intake.key_lookup import claimed_if_new
from inference.metrics import decided as metrics
from inference.models import Decision
from inference.models.decisions.decision import Content
from tenants.caller import Caller

FALLBACK = b"x-forebay-fallback"
UNREAD_MS = 2_000  # the deadline while the policy's own is not known: its default


class Decided(NamedTuple):
    """A decision on record. `content` is None where its texts have been erased."""

    decision: Decision
    content: Content | None


async def decide(call: Call, caller: Caller, request: DecisionRequest) -> Decided:
    """Returns the decision, which is on record; of an idempotency key always the same.

    Raises BadRequest, NotFound, Conflict, KeyReused, NotAllowed, NotAdmitted; OutOfService if the
    decision cannot be put on record within the deadline.
    """
    claim = earlier.claim_of(request)
    clock = Clock(request.began, UNREAD_MS, request.time_limit_s)
    try:
        policy = await clock.in_time(serving(call.context, caller.tenant_id, request.policy))
    except NotFound:
        if claim is None:
            raise
        _claim, decision = await earlier.look_up(caller, claim)
        if decision is None:
            raise
        return await _replayed(call, caller, decision)  # by a policy that has been stopped
    deciding = asyncio.ensure_future(_decide(call, caller, request, policy, claim))
    try:
        return await asyncio.shield(deciding)
    except asyncio.CancelledError:  # the client left: its decision gets on record all the same
        call.context.background.run(deciding)
        raise


async def _decide(
    call: Call, caller: Caller, request: DecisionRequest, policy: Serving, claim: Claim | None
) -> Decided:
    clock = Clock(request.began, policy.champion.spec.deadline_ms, request.time_limit_s)
    claim, earlier_one, subject = await clock.in_time(_beginning(call, caller, request, claim))
    if earlier_one:
        return await _replayed(call, caller, earlier_one)
    assert subject
    version = policy.version_for(_stick(policy, subject.id))
    clock = Clock(request.began, version.spec.deadline_ms, request.time_limit_s)
    input = version.input_check.checked(request.input)
    # Its texts are the person's: under their key, and erased with them.
    caller = replace(caller, subject_id=subject.id)
    matter = Matter(policy, version, caller, subject, input, request.input, claim)
    scored = await engine_score.score(call, caller, version, input, request, clock, claim)
    try:
        decided = await record(call, matter, scored, clock)
    except OutOfService:
        people.forget(caller.tenant_id, request.person)
        raise
    if decided is None:
        return await _of_key(call, caller, claim)
    decision, content = decided
    metrics.decided(decision)
    if decision.fallback_reason:
        call.headers.append((FALLBACK, decision.fallback_reason.encode()))
    shadow.begin(call, matter, decision.pk)
    return Decided(decision, content)


async def _beginning(
    call: Call, caller: Caller, request: DecisionRequest, claim: Claim | None
) -> tuple[Claim | None, Decision | None, Subject | None]:
    """Returns the claim with its owner, and the decision that its key has, else the person."""
    tenant_id, reference, lookups = caller.tenant_id, request.person, call.context.lookups
    if claim is None:
        newcomers = call.context.commits.people
        return None, None, await people.of(lookups, newcomers, tenant_id, reference)
    if subject := await people.known_or_stored(lookups, tenant_id, reference):
        if new := await claimed_if_new(lookups, caller, claim):
            return new, None, subject
        claim, decision = await earlier.look_up(caller, claim)
        return claim, decision, subject
    claim, decision, subject = await earlier.with_person(caller, claim, reference)
    if subject:
        people.remember(tenant_id, reference, subject)
    return claim, decision, subject


def _stick(policy: Serving, person_id: UUID) -> UUID:
    """Returns what decides between champion and challenger: a person stays with one of them."""
    return UUID(int=policy.policy_id.int ^ person_id.int)


async def _of_key(call: Call, caller: Caller, claim: Claim | None) -> Decided:
    """Returns the decision of another request with the key, which was faster."""
    assert claim
    _claim, decision = await earlier.look_up(caller, claim)
    if decision is None:  # its person has been erased meanwhile
        raise Conflict("another request with this key was decided; send a new key")
    return await _replayed(call, caller, decision)


async def _replayed(call: Call, caller: Caller, decision: Decision) -> Decided:
    if not call.at_admission:
        await call.add_limit_headers(caller)
    call.headers.append(REPLAYED)
    content = await repeatable_in_scope(decision.tenant_id, answers.content_of, decision)
    return Decided(decision, content)
