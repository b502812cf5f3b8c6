"""Makes the explanation of a decision: asks the model about the input with neutral values.

A policy that asks for texts has all prompts in one order; one that asks in a chat has a request for
each, since an order has one chat. Scores are stored as they come, so that a next try asks and pays
for those alone that are missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from channels.db import database_sync_to_async

from audit.keys.keyring import Unreadable
from inference.api import deferred
from inference.api.deferred import ADDRESS_COUNTED, Refused, Wait, consequence
from inference.api.refusals import REFUSALS
from inference.decisions import current_version, explaining, model_question
from inference.decisions.explaining import Explanation, Progress, Recorded
from inference.decisions.policies import spec_of
from inference.decisions.spec import CHAT, PolicySpec
from inference.engines import engines_of
from inference.intake.access import allowed
from inference.intake.context import Context
from inference.intake.submission import Arrival, Options, read
from inference.intake.submit import submit
from inference.models import Decision, DecisionExplanation
from inference.stream.frames import Frame, Kind
from inference.validation.requests import Form
from tenants.caller import Caller
from tenants.scope import tenant_scope

ROUTE = "/v1/decisions/{id}/explanation"
PROMPTS = 32  # of one order
MODEL_CHANGED, UNREADABLE, NO_SCORE = "model_changed", "input_erased", "no_score"
MOST_ATTEMPTS, TRIED = 50, "engine_unavailable"  # for one more score


async def make(
    context: Context, caller: Caller, row: DecisionExplanation, *, klass: str = ""
) -> None:
    """Make a leased explanation and store it, or note why there is none.

    `klass` is a class of work; "" is that of the caller's plan.
    """
    try:
        explanation = await _explained(context, caller, row, klass)
        await _in_scope(caller, row.succeed, explaining.packed(explanation))
    except Refused as refused:
        await _in_scope(caller, row.fail, refused.code)
    except Wait as wait:
        await _in_scope(caller, row.wait, wait.seconds)
    except Unreadable:  # its person has been erased meanwhile
        await _in_scope(caller, row.fail, UNREADABLE)


async def _explained(
    context: Context, caller: Caller, row: DecisionExplanation, klass: str
) -> Explanation:
    """Raises Wait, Refused."""
    decision = row.decision
    spec, input = await _in_scope(caller, _read, decision)
    recorded = Recorded(
        decision.outcome, decision.source, decision.score, decision.review_at, decision.block_at
    )
    inputs = explaining.inputs_to_ask(spec, input, decision.source)
    if inputs and current_version.has_changed(caller.tenant_id, spec):
        raise Refused(MODEL_CHANGED)
    if decision.person_id:
        caller = replace(caller, subject_id=decision.person_id)
    scores = await _in_scope(caller, _begin, row) if inputs else []
    for portion in _portions(inputs[len(scores) :], spec):
        scores += await _scores(context, caller, spec, portion, klass)
        await _in_scope(caller, row.note, explaining.packed(Progress(scores)))
    if inputs and scores[0] is None:
        raise Refused(NO_SCORE)
    return explaining.explain(spec, input, recorded, scores)


def _read(decision: Decision) -> tuple[PolicySpec, dict[str, Any]]:
    """Raises Refused."""
    try:
        return spec_of(decision.version), decision.content.input
    except Unreadable:
        raise Refused(UNREADABLE) from None


def _begin(row: DecisionExplanation) -> list[float | None]:
    """Count a try. Returns the scores of earlier ones. Raises Refused."""
    try:
        progress = explaining.progress_of(row.progress)
        if progress.attempts >= MOST_ATTEMPTS:
            raise Refused(TRIED)
        row.note(explaining.packed(Progress(progress.scores, progress.attempts + 1)))
    except Unreadable:
        raise Refused(UNREADABLE) from None
    return progress.scores


def _portions(
    inputs: Sequence[Mapping[str, Any]], spec: PolicySpec
) -> list[Sequence[Mapping[str, Any]]]:
    most = 1 if spec.form == CHAT else PROMPTS
    return [inputs[start : start + most] for start in range(0, len(inputs), most)]


async def _scores(
    context: Context,
    caller: Caller,
    spec: PolicySpec,
    inputs: Sequence[Mapping[str, Any]],
    klass: str,
) -> list[float | None]:
    """Returns the raw score of each input, from one order. Raises Wait, Refused."""
    try:
        name = allowed.engine_for(caller, spec.model).config.name
        tokens = {token for engine in engines_of(name) for token in engine.control_tokens}
        body = _body(spec, inputs, tokens)
        form = Form.CHAT if spec.form == CHAT else Form.TEXT
        length = len(orjson.dumps(body))
        arrival = Arrival(ROUTE, address_counted_at=ADDRESS_COUNTED)
        submission = read(caller, body, length, form, arrival, Options(klass=klass))
        answer = await submit(context, submission)
        frame = await answer.whole()
    except REFUSALS as refusal:
        raise consequence(refusal) from None
    if frame.kind == Kind.ERROR:
        raise _engine_failed(frame)
    return _read_scores(frame.body, spec, len(inputs))


def _engine_failed(frame: Frame) -> Wait | Refused:
    """Returns what an engine's error means: another try may find one that answers."""
    code = str(orjson.loads(frame.body)["error"].get("code") or "engine_failed")
    if frame.status == 429 or frame.status >= 500:
        return Wait(frame.retry_after or deferred.LEAST_WAIT_S, code)
    return Refused(code)


def _body(
    spec: PolicySpec, inputs: Sequence[Mapping[str, Any]], tokens: set[str]
) -> dict[str, Any]:
    bodies = [model_question.body_of(spec, input, tokens) for input in inputs]
    if len(bodies) == 1:
        return bodies[0]
    return {**bodies[0], "prompt": [body["prompt"] for body in bodies]}


def _read_scores(answer: bytes, spec: PolicySpec, count: int) -> list[float | None]:
    scores: list[float | None] = [None] * count
    for choice in orjson.loads(answer)["choices"]:
        alone = orjson.dumps({"choices": [choice]})
        scores[choice.get("index", 0)] = model_question.score_in(alone, spec)
    return scores


async def _in_scope(caller: Caller, work: Any, *arguments: Any) -> Any:
    def scoped() -> Any:
        with tenant_scope(caller.tenant_id):
            return work(*arguments)

    return await database_sync_to_async(scoped)()
