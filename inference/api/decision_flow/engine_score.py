"""Asks the engine of a policy for a score, for as long as the deadline allows."""

import asyncio
from contextlib import aclosing, suppress
from typing import NamedTuple
from uuid import UUID

import orjson
from msgspec import structs

from inference.api import idempotency
from inference.api.call import Call
from inference.api.decision_flow.clock import Clock
from inference.api.decision_flow.requests import DecisionRequest
from inference.api.refusals import REFUSALS
from inference.api.replay import Replay
from inference.decisions import current_version, model_question
from inference.decisions.serving import PolicyInForce
from inference.decisions.spec import CHAT
from inference.engines import engines_of
from inference.errors import ApiError, BadRequest, Conflict, Forbidden, Unauthorized
from inference.intake.access import allowed
from inference.intake.access.allowed import NoSuchModel
from inference.intake.answer_stream import AnswerStream
from inference.intake.errors import (
    EnginesPaused,
    KeyTaken,
    NotAdmitted,
    OutOfService,
    QueueFull,
)
from inference.intake.idempotency_claim import Claim
from inference.intake.submission import Options, Submission
from inference.models import FallbackReason as Why
from inference.stream.frames import Frame, Kind
from inference.validation.requests import Form
from inference.validation.schemas import Body
from tenants.caller import Caller

# Limits that hold for decisions too: their fallback costs a commit. Others, such as tokens and
# quotas, end in the fallback.
_OF_REQUESTS = ("ip", "rate", "key_rate")


class Scored(NamedTuple):
    """The model's raw score, or the reason why there is none."""

    raw: float | None = None
    reason: str = ""
    completion_id: UUID | None = None


class NoAnswer(Exception):
    """The engine cannot be asked, or not now. `reason` is the fallback's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def control_tokens(caller: Caller, model: str) -> set[str]:
    """Returns those of all engines of a policy's model. Raises NoAnswer."""
    try:
        name = allowed.engine_for(caller, model).config.name
    except (NoSuchModel, ApiError) as problem:
        raise _no_answer(problem) from None
    return {token for engine in engines_of(name) for token in engine.control_tokens}


async def score(
    call: Call,
    caller: Caller,
    version: PolicyInForce,
    input: Body,
    request: DecisionRequest,
    clock: Clock,
    claim: Claim | None,
) -> Scored:
    """Returns the score. `caller` has the person as its subject.

    Raises what is no engine's fault: BadRequest for the input, NotAllowed, the limits of requests,
    KeyReused, Conflict.
    """
    try:
        if current_version.has_changed(caller.tenant_id, version.spec):
            raise NoAnswer(Why.CHANGED)
        tokens = control_tokens(caller, version.spec.model)
        body = model_question.body_of(version.spec, input, tokens)
        submission = await _submission(call, caller, version, body, request)
        limited = structs.replace(submission, claim=claim, time_limit_s=clock.asking_s)
        return await _asked(call, limited, version, clock)
    except NoAnswer as problem:
        if not call.at_admission or call.found_no_place:
            await _count(call, caller)
        return Scored(reason=problem.reason)


async def _count(call: Call, caller: Caller) -> None:
    """Count it as a request: a fallback is work, too. Raises NotAdmitted."""
    try:
        await call.count_request(caller)
    except NotAdmitted as refused:
        if refused.admission.tier in _OF_REQUESTS:
            raise


async def _submission(
    call: Call, caller: Caller, version: PolicyInForce, body: Body, request: DecisionRequest
) -> Submission:
    """Raises NoAnswer, BadRequest, NotAllowed."""
    options = Options(
        requested_class=request.requested_class,
        requested_residency=request.requested_residency,
        affinity=version.id.hex,
    )
    form = Form.CHAT if version.spec.form == CHAT else Form.TEXT
    length = len(orjson.dumps(body))
    try:
        return await call.read(caller, body, length, form, options)
    except BadRequest as problem:
        if problem.code == "context_length_exceeded":
            what = "`input` is too long for the model of this policy: shorten its texts"
            raise BadRequest(what, code=problem.code, param="input") from None
        if problem.param and problem.param.startswith("x-forebay"):
            raise
        raise NoAnswer(Why.REFUSED) from None
    except (NoSuchModel, ApiError) as problem:
        raise _no_answer(problem) from None


def _no_answer(problem: NoSuchModel | ApiError) -> Exception:
    """Returns what to raise: a model that is hidden from the caller is no fault of an engine."""
    if isinstance(problem, NoSuchModel) and problem.hidden:
        return problem
    return NoAnswer(Why.NOT_SERVED)


# The answer ---------------------------------------------------------------------------------------
async def _asked(
    call: Call, submission: Submission, version: PolicyInForce, clock: Clock
) -> Scored:
    answer = await _begun(call, submission, clock)
    completion_id = answer.order.id
    try:
        frame = await asyncio.wait_for(final(answer), clock.asking_s)
    except TimeoutError:
        if answer.order.outlives_reader and not isinstance(answer, Replay):
            call.context.cancellation.cancel(answer.order)
        return Scored(reason=Why.LATE, completion_id=completion_id)
    call.tell_frame(frame)
    if frame.kind == Kind.ERROR:
        return Scored(reason=_reason(frame), completion_id=completion_id)
    raw = model_question.score_in(frame.body, version.spec)
    return Scored(raw, "" if raw is not None else Why.NO_SCORE, completion_id)


async def _begun(call: Call, submission: Submission, clock: Clock) -> AnswerStream:
    """Submit, in a task of its own: at the deadline it is never left half done."""
    submitting = asyncio.ensure_future(_submitted(call, submission))
    try:
        return await asyncio.wait_for(asyncio.shield(submitting), clock.asking_s)
    except TimeoutError:
        call.context.background.run(_give_up(submitting))
        raise NoAnswer(Why.LATE) from None
    except asyncio.CancelledError:
        call.context.background.run(_give_up(submitting))
        raise
    except QueueFull:
        raise NoAnswer(Why.QUEUE_FULL) from None
    except EnginesPaused:
        raise NoAnswer(Why.PAUSED) from None
    except OutOfService:
        raise NoAnswer(Why.AWAY) from None
    except NotAdmitted as refused:
        if refused.admission.tier in _OF_REQUESTS:
            raise
        call.at_admission = False  # it counts as a request all the same
        raise NoAnswer(Why.LIMIT) from None


async def _submitted(call: Call, submission: Submission) -> AnswerStream:
    """Submit. Only a key that is taken is looked up: its request may have been lost before."""
    try:
        return await call.submit(submission)
    except KeyTaken:
        answer = await idempotency.submit(call, submission)
        # The model's answer is an earlier one, the decision is not.
        call.headers = [line for line in call.headers if line != idempotency.REPLAYED]
        return answer


async def _give_up(submitting: asyncio.Task[AnswerStream]) -> None:
    with suppress(*REFUSALS):
        (await submitting).give_up()


async def final(answer: AnswerStream) -> Frame:
    """Returns the final frame, also of a replay."""
    async with aclosing(answer.frames()) as frames:
        async for frame in frames:
            if frame and frame.final:
                return frame
    raise AssertionError("an answer ends with a final frame")


def _reason(frame: Frame) -> str:
    """Returns the fallback's reason. Raises ApiError where the caller has lost its access."""
    error = _error(frame)
    if frame.status in (401, 403):
        kind = Unauthorized if frame.status == 401 else Forbidden
        raise kind(error.get("message", ""), code=error.get("code") or kind.code)
    if error.get("code") == "idempotency_answer_gone":
        raise Conflict(error.get("message", ""), code=error["code"])
    if error.get("code") == "deadline_exceeded":
        return Why.LATE
    return Why.FAILED if frame.status >= 500 else Why.REFUSED


def _error(frame: Frame) -> dict[str, str]:
    try:
        return dict(orjson.loads(frame.body)["error"])
    except (ValueError, LookupError, TypeError):
        return {}
