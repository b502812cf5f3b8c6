"""Submits the sides of an evaluation as requests, like any other front end. Its wire is a row.

It decides what a refusal means for the evaluation: it fails, or waits and tries again.
"""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from channels.db import database_sync_to_async

from inference.api.refusals import REFUSALS, as_error
from inference.engines import engines_of
from inference.evaluation import cost, side_order
from inference.evaluation.content import SCORED, Content
from inference.evaluation.side_order import CLASS, ROUTE, Asked
from inference.intake.access.allowed import target_for
from inference.intake.context import Context
from inference.intake.errors import KeyTaken, NotAdmitted
from inference.intake.idempotency_claim import Claim
from inference.intake.submission import Submission
from inference.intake.submit import submit
from inference.models import Completion, Evaluation, IdempotencyKey, PolicyEvaluation
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller

in_database = database_sync_to_async
COUNTED = 1  # its address was charged when the evaluation was created
A_MINUTES_TOKENS = 1_000  # charged to the limits per minute; quotas count all of it
LEAST_WAIT_S, LONGEST_WAIT_S = 5.0, 900.0


class Wait(Exception):
    """The evaluation cannot begin for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = max(LEAST_WAIT_S, min(seconds, LONGEST_WAIT_S))


class Refused(Exception):
    """The evaluation can never begin. `code` is for programs."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def begin(context: Context, evaluation: Evaluation, content: Content) -> None:
    """Submit the sides that have no request yet, and note them on the row."""
    try:
        caller = await caller_of(context, evaluation)
        for side, model, completion_id in evaluation.sides:
            if completion_id is None:
                begun = await _submitted(context, evaluation, content, caller, side, model)
                await in_database(evaluation.began)(side, begun)
    except Wait as wait:
        await in_database(evaluation.look_again)(timedelta(seconds=wait.seconds))
    except Refused as refused:
        await in_database(evaluation.fail)(refused.code)


async def caller_of(context: Context, evaluation: Evaluation | PolicyEvaluation) -> Caller:
    """Returns the caller as it is now. Raises Wait, Refused."""
    key, member = evaluation.api_key, evaluation.member
    try:
        if key:
            caller = await context.authenticator.by_digest(bytes(key.digest))
        elif member:
            caller = await context.authenticator.by_member(member.pk)
        else:
            raise Refused("access_revoked")
    except TenantClosed:
        raise Refused("tenant_closed") from None
    except UnknownCaller:
        raise Refused("access_revoked") from None
    except AuthenticationUnavailable:
        raise Wait(LEAST_WAIT_S) from None
    return replace(caller, networks=())  # its address was checked when it was created


async def _submitted(
    context: Context,
    evaluation: Evaluation,
    content: Content,
    caller: Caller,
    side: str,
    model: str,
) -> UUID:
    """Returns the id of the side's request. Raises Wait, Refused."""
    claim = Claim(sha256(side.encode()).digest(), b"", owner=evaluation.pk)
    try:
        submission = _submission(evaluation, content, caller, side, model, claim)
        answer = await submit(context, submission)
    except KeyTaken:  # an earlier try was recorded, and its process died
        return await in_database(_claimed)(claim)
    except NotAdmitted as refused:
        raise _not_admitted(refused) from None
    except REFUSALS as refusal:
        error = as_error(refusal)
        if error.status == 429 or error.status >= 500:
            raise Wait(error.retry_after or LEAST_WAIT_S) from None
        raise Refused(error.code) from None
    answer.leave()
    return answer.order.id


def _submission(
    evaluation: Evaluation, content: Content, caller: Caller, side: str, model: str, claim: Claim
) -> Submission:
    """Raises NoSuchModel, Refused."""
    engine, adapter = target_for(caller, model)
    scored, name = content.kind in SCORED, engine.config.name
    if scored and not all(each.scores_texts for each in engines_of(name)):
        raise Refused("cannot_score")
    # The task set is there: `content` was read from it.
    ids = evaluation.pk, side, evaluation.task_set_id, evaluation.sha256
    work = Asked(*ids, evaluation.kind, evaluation.total)  # type: ignore[arg-type]
    reserve = cost.reserve(content)
    return Submission(
        caller=caller,
        engine=engine,
        body=side_order.body_of(work, engine.config.model),
        chat=False,
        route=ROUTE,
        stream=False,
        estimate=min(reserve.likely, A_MINUTES_TOKENS),
        reserve=reserve,
        klass=CLASS,
        address_counted_at=COUNTED,
        claim=claim,
        adapter=adapter,
        outlives_reader=True,
    )


def _not_admitted(refused: NotAdmitted) -> Exception:
    if refused.admission.never_fits:
        return Refused(as_error(refused).code)
    return Wait(refused.admission.frees_in_ms / 1000)


def _claimed(claim: Claim) -> UUID:
    """Returns the request that has the claim. Raises Wait if it was not recorded after all."""
    assert claim.owner
    key = IdempotencyKey.objects.filter(owner=claim.owner, key=claim.key).first()
    if key is None or not Completion.objects.filter(pk=key.completion_id).exists():
        raise Wait(LEAST_WAIT_S)
    return key.completion_id
