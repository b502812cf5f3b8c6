"""The trial of a version of a decision policy: one request by whoever sent it to review.

It shows that the model answers with log-probabilities, that the labels are among the likely first
tokens, and that each label is a token of its own.
"""

import asyncio
from typing import Any

import orjson
from channels.db import database_sync_to_async
from django.utils import timezone

from audit.keys.cipher import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api import deferred
from inference.api.deferred import ADDRESS_COUNTED, Refused, Wait, caller_of, consequence
from inference.api.policy_trials import labels
from inference.api.policy_trials.labels import Indistinct
from inference.api.refusals import REFUSALS
from inference.decisions import current_version, inputs, model_question, scoring
from inference.decisions.policies import spec_of
from inference.decisions.scoring import TopLogprob
from inference.decisions.spec import CHAT, PolicySpec
from inference.intake.context import Context
from inference.intake.submission import Arrival, Options, Submission, read
from inference.intake.submit import submit
from inference.models import DecisionPolicyVersion
from inference.stream.frames import Frame, Kind
from inference.validation.requests import Form
from tenants.caller import Caller

ROUTE = "decisions"
PATIENCE_S = 30.0


async def tried(context: Context, version: DecisionPolicyVersion) -> dict[str, Any]:
    """Returns what a trial showed. Raises Refused, Wait."""
    spec = await _spec(version)
    if current_version.has_changed(version.tenant_id, spec):
        raise Refused("model_changed")
    caller = await caller_of(context, version.trial_key or version.trial_member)
    try:
        submission = _submission(caller, spec)
        tokens = await labels.tokens(submission, spec)
        request_id, tops = await _answer(context, submission)
    except Indistinct as problem:
        raise Refused("label_of_several_tokens", label=problem.label, token=problem.token) from None
    except REFUSALS as refusal:
        raise consequence(refusal) from None
    if not tops:
        raise Refused("no_logprobs")
    score = scoring.score(tops, spec)
    if score is None:
        raise Refused("labels_not_likely", likely=[top.token for top in tops[:5]])
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
    """Raises Refused, Wait."""
    try:
        return spec_of(version)
    except Unreadable:
        raise Refused("unreadable") from None
    except MasterKeyUnavailable:
        raise Wait(deferred.LEAST_WAIT_S, "master_key_unavailable") from None


def _submission(caller: Caller, spec: PolicySpec) -> Submission:
    """Raises NoSuchModel, ApiError."""
    body = model_question.body_of(spec, inputs.sample(spec))
    form = Form.CHAT if spec.form == CHAT else Form.TEXT
    arrival = Arrival(ROUTE, address_counted_at=ADDRESS_COUNTED)
    return read(caller, body, len(orjson.dumps(body)), form, arrival, Options())


async def _answer(context: Context, submission: Submission) -> tuple[str, list[TopLogprob]]:
    """Returns the request's id and the likely first tokens. Raises Wait, and as `submit`."""
    answer = await submit(context, submission)
    try:
        async with asyncio.timeout(PATIENCE_S):
            frame = await answer.whole()
    except TimeoutError:
        raise Wait(deferred.LEAST_WAIT_S) from None
    if frame.kind == Kind.ERROR:
        raise _engine_failed(frame)
    return str(answer.order.id), model_question.top_logprobs(frame.body)


def _engine_failed(frame: Frame) -> Exception:
    code = str(orjson.loads(frame.body)["error"]["code"])
    is_transient = frame.status in (429, 503)
    return Wait(frame.retry_after or deferred.LEAST_WAIT_S) if is_transient else Refused(code)
