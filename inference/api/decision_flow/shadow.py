"""Asks the shadow version of a policy about a decision that is made.

Its request comes after the answer, in a class that gives way to all others, and counts for no limit
per minute: it can neither delay nor change a decision. It is recorded and billed like any request.
A run that a crash interrupts is not repeated.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from django.db import DatabaseError

from inference.api.call import Call
from inference.api.decision_flow import engine_score as engine
from inference.api.decision_flow.recording import Matter
from inference.api.ownership import in_scope
from inference.api.refusals import REFUSALS
from inference.decisions import model_question, scoring
from inference.decisions.serving import PolicyInForce
from inference.decisions.spec import CHAT
from inference.intake.context import Context
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.submission import Arrival, Options, Submission, read
from inference.intake.submit import submit
from inference.models import Decision
from inference.stream.frames import Kind
from inference.validation.requests import Form
from inference.validation.schemas import Body
from tenants.caller import NO_LIMITS

log = logging.getLogger(__name__)
CLASS = "preprocess"
MOST, MOST_OF_TENANT, PATIENCE_S = 64, 16, 60.0  # at once in this process; for one run
_open = ConcurrencyLimit(MOST)


def begin(call: Call, matter: Matter, decision_id: UUID) -> None:
    """Begin a shadow run, if the policy has one and few others run. Does not wait."""
    shadow = matter.policy.shadow
    if shadow is None or shadow.id == matter.version.id:
        return
    if _open.enter((matter.caller.tenant_id, MOST_OF_TENANT)) is None:
        call.context.background.run(_run(call.context, call.route, matter, shadow, decision_id))


async def _run(
    context: Context, route: str, matter: Matter, shadow: PolicyInForce, decision_id: UUID
) -> None:
    tenant_id = matter.caller.tenant_id
    try:
        async with asyncio.timeout(PATIENCE_S):
            input = shadow.input_check.checked(matter.sent)
            submission = _submission(route, matter, shadow, input)
            fields = await _scored(context, submission, shadow, input)
            await in_scope(tenant_id, Decision.note_shadow, decision_id, shadow.id, **fields)
    except (*REFUSALS, engine.NoAnswer, TimeoutError, DatabaseError) as problem:
        log.info("no shadow run of %s: %r", decision_id, problem)
    finally:
        _open.leave(tenant_id)


def _submission(route: str, matter: Matter, shadow: PolicyInForce, input: Body) -> Submission:
    """Raises NoAnswer and the errors of `read`."""
    caller = replace(matter.caller, limits=NO_LIMITS, key_limits=NO_LIMITS, networks=())
    tokens = engine.control_tokens(caller, shadow.spec.model)
    body = model_question.body_of(shadow.spec, input, tokens)
    form = Form.CHAT if shadow.spec.form == CHAT else Form.TEXT
    options = Options(klass=CLASS, affinity=shadow.id.hex)
    return read(caller, body, len(orjson.dumps(body)), form, Arrival(route), options)


async def _scored(
    context: Context, submission: Submission, shadow: PolicyInForce, input: Body
) -> dict[str, Any]:
    """Returns the fields of `Decision.note_shadow`; scores are missing if the engine failed."""
    answer = await submit(context, submission)
    frame = await engine.final(answer)
    fields: dict[str, Any] = {"completion_id": answer.order.id}
    raw = model_question.score_in(frame.body, shadow.spec) if frame.kind == Kind.BODY else None
    if raw is None:
        return fields
    verdict = scoring.verdict(raw, shadow.spec, input)
    return fields | {"raw_score": raw, "score": verdict.score, "outcome": verdict.outcome}
