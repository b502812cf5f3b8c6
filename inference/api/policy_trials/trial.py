"""The trial of a version of a decision policy: one request by whoever sent it to review.

It shows that the model answers with log-probabilities, that the labels are among the likely first
tokens, and that each label is a token of its own.
"""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
from channels.db import database_sync_to_async
from django.utils import timezone

from audit.keys.cipher import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api.policy_trials import labels
from inference.api.policy_trials.labels import Indistinct
from inference.api.refusals import REFUSALS, as_error
from inference.decisions import current_version, inputs, model_question, scoring
from inference.decisions.policies import spec_of
from inference.decisions.scoring import TopLogprob
from inference.decisions.spec import CHAT, PolicySpec
from inference.errors import ApiError
from inference.intake.context import Context
from inference.intake.submission import Arrival, Options, Submission, read
from inference.intake.submit import submit
from inference.models import DecisionPolicyVersion
from inference.stream.frames import Frame, Kind
from inference.validation.requests import Form
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller

ROUTE = "decisions"
PATIENCE_S = 30.0
LEAST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
_COUNTED = 1  # its address was charged when the version was sent to review


class Failed(Exception):
    """The version cannot serve as it is. `problem` is for programs."""

    def __init__(self, problem: str, **detail: Any) -> None:
        super().__init__(problem)
        self.problem, self.detail = problem, detail


class Wait(Exception):
    """The trial cannot be made for `seconds`."""

    def __init__(self, problem: str, seconds: float = LEAST_WAIT_S) -> None:
        super().__init__(problem)
        self.problem = problem
        self.seconds = max(LEAST_WAIT_S, min(seconds, LONGEST_WAIT_S))


async def tried(context: Context, version: DecisionPolicyVersion) -> dict[str, Any]:
    """Returns what a trial showed. Raises Failed, Wait."""
    spec = await _spec(version)
    if current_version.has_changed(version.tenant_id, spec):
        raise Failed("model_changed")
    caller = await _caller(context, version)
    try:
        submission = _submission(caller, spec)
        tokens = await labels.tokens(submission, spec)
        request_id, tops = await _answer(context, submission)
    except Indistinct as problem:
        raise Failed("label_of_several_tokens", label=problem.label, token=problem.token) from None
    except REFUSALS as refusal:
        raise _problem_of(as_error(refusal)) from None
    if not tops:
        raise Failed("no_logprobs")
    score = scoring.score(tops, spec)
    if score is None:
        raise Failed("labels_not_likely", likely=[top.token for top in tops[:5]])
    reported = {scoring.label(top.token) for top in tops}
    return {
        "at": timezone.now().isoformat(),
        "completion": request_id,
        "score": score,
        "both_labels": {scoring.label(spec.positive), scoring.label(spec.negative)} <= reported,
        "tokens": tokens,
        "model_version": spec.model_version,
    }


@database_sync_to_async
def _spec(version: DecisionPolicyVersion) -> PolicySpec:
    """Raises Failed, Wait."""
    try:
        return spec_of(version)
    except Unreadable:
        raise Failed("unreadable") from None
    except MasterKeyUnavailable:
        raise Wait("master_key_unavailable") from None


async def _caller(context: Context, version: DecisionPolicyVersion) -> Caller:
    """Returns the caller as it is now. Raises Failed, Wait."""
    key, member = version.trial_key, version.trial_member
    try:
        if key:
            caller = await context.authenticator.by_digest(bytes(key.digest))
        elif member:
            caller = await context.authenticator.by_member(member.pk)
        else:
            raise Failed("access_revoked")
    except (TenantClosed, UnknownCaller):
        raise Failed("access_revoked") from None
    except AuthenticationUnavailable:
        raise Wait("engine_unavailable") from None
    return replace(caller, networks=())  # its address was checked when it was sent to review


def _submission(caller: Caller, spec: PolicySpec) -> Submission:
    """Raises NoSuchModel, ApiError."""
    body = model_question.body_of(spec, inputs.sample(spec))
    form = Form.CHAT if spec.form == CHAT else Form.TEXT
    arrival = Arrival(ROUTE, address_counted_at=_COUNTED)
    return read(caller, body, len(orjson.dumps(body)), form, arrival, Options())


async def _answer(context: Context, submission: Submission) -> tuple[str, list[TopLogprob]]:
    """Returns the request's id and the likely first tokens. Raises Wait, and as `submit`."""
    answer = await submit(context, submission)
    try:
        async with asyncio.timeout(PATIENCE_S):
            frame = await answer.whole()
    except TimeoutError:
        raise Wait("engine_unavailable") from None
    if frame.kind == Kind.ERROR:
        raise _engine_failed(frame)
    return str(answer.order.id), model_question.top_logprobs(frame.body)


def _engine_failed(frame: Frame) -> Exception:
    code = str(orjson.loads(frame.body)["error"]["code"])
    is_transient = frame.status in (429, 503)
    return Wait("engine_unavailable", frame.retry_after) if is_transient else Failed(code)


def _problem_of(error: ApiError) -> Exception:
    if error.status == 429 or error.status >= 500:
        return Wait(error.code, error.retry_after or LEAST_WAIT_S)
    return Failed(error.code, **({"param": error.param} if error.param else {}))
