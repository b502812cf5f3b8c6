"""The endpoints of decisions."""

import asyncio
from functools import partial
from typing import Any

from audit.trail.truncated_address import network
from inference.api.decision_flow import answers, flow, requests
from inference.api.decision_flow.requests import DecisionRequest
from inference.api.decisions.own import own_decision
from inference.api.http import lists
from inference.api.http.callers import address_counted_caller, caller_of, counted_caller
from inference.api.http.request import Request
from inference.api.ownership import repeatable_in_scope
from inference.errors import BadRequest, must_be
from inference.intake.submission import Options
from inference.models import Decision
from inference.models.decisions.decision import PREFIX, DecisionFeedback
from inference.validation.requests import parsed
from tenants.key_scopes import Scope

BOUNDS = PREFIX, 20, 100  # of a list
POLICY = "policy"
FEEDBACK = "feedback"


async def create(request: Request) -> None:
    """Decide. The deadline begins before the key is looked at."""
    began, call = asyncio.get_running_loop().time(), request.call
    caller, raw = await caller_of(request), await request.body()
    body = requests.checked(requests.parsed(raw))
    options = Options.of(request.header_or_none)
    try:
        wanted = DecisionRequest(
            **body,
            began=began,
            length=len(raw),
            idempotency_key=options.idempotency_key,
            requested_class=options.requested_class,
            requested_residency=options.requested_residency,
        )
        decided = await flow.decide(call, caller, wanted)
    finally:
        call.release_body()
    await request.answer_json(answers.of(decided.decision, decided.content))


async def retrieve(request: Request, decision_id: str) -> None:
    """Answer a decision with its input, while that can be read."""
    decision = await own_decision(request, await address_counted_caller(request), decision_id)
    content = await repeatable_in_scope(decision.tenant_id, answers.content_of, decision)
    fields = answers.of(decision, content)
    await request.answer_json(fields | {"input": content.input if content else None})


async def listed(request: Request) -> None:
    """Answer a page of the caller's decisions, without their texts."""
    caller, page = await address_counted_caller(request), lists.query(request)
    rows = Decision.objects.all()
    if (policy := page.pop(POLICY, None)) is not None:
        if "\0" in policy:
            raise must_be(POLICY, "the name of a decision policy")
        rows = rows.filter(policy_name=policy)
    work = partial(lists.listed, caller, rows, answers.of, page, BOUNDS)
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, work))


async def outcome(request: Request, decision_id: str) -> None:
    """Note what really happened."""
    caller = await counted_caller(request, Scope.INFERENCE)
    decision = await own_decision(request, caller, decision_id)
    feedback = _feedback(parsed(await request.body()))
    where = network(request.call.client_ip)
    give = partial(decision.give_feedback, feedback, by=caller.actor, client_net=where)
    await repeatable_in_scope(caller.tenant_id, give)
    await request.answer_json(answers.of(decision))


def _feedback(body: dict[str, Any]) -> str:
    if foreign := sorted(body.keys() - {FEEDBACK}):
        raise BadRequest(f"`{foreign[0][:80]}` is no field here", param=foreign[0])
    if (feedback := body.get(FEEDBACK)) not in DecisionFeedback.values:
        raise must_be(FEEDBACK, f"one of {', '.join(DecisionFeedback.values)}")
    return str(feedback)
