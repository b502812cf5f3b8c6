"""Submits the sides of an evaluation as requests, like any other front end. Its wire is a row."""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from channels.db import database_sync_to_async

from inference.api import deferred
from inference.api.deferred import ADDRESS_COUNTED, Refused, Wait, caller_of, consequence
from inference.api.refusals import REFUSALS
from inference.engines import engines_of
from inference.evaluation import cost, side_order
from inference.evaluation.content import SCORED, Content
from inference.evaluation.side_order import CLASS, ROUTE, Asked
from inference.intake.access.allowed import target_for
from inference.intake.context import Context
from inference.intake.errors import KeyTaken
from inference.intake.idempotency_claim import Claim
from inference.intake.submission import Submission
from inference.intake.submit import submit
from inference.models import Completion, Evaluation, IdempotencyKey
from tenants.caller import Caller

in_database = database_sync_to_async
A_MINUTES_TOKENS = 1_000  # counted by the limits per minute; quotas count all of it
LONGEST_WAIT_S = 900.0


async def begin(context: Context, evaluation: Evaluation, content: Content) -> None:
    """Submit the sides that have no request yet, and note them on the row."""
    try:
        caller = await caller_of(context, evaluation.api_key or evaluation.member)
        for side, model, completion_id in evaluation.sides:
            if completion_id is None:
                begun = await _submitted(context, evaluation, content, caller, side, model)
                await in_database(evaluation.began)(side, begun)
    except Wait as wait:
        await in_database(evaluation.look_again)(waiting_time(wait))
    except Refused as refused:
        await in_database(evaluation.fail)(refused.code)


def waiting_time(wait: Wait) -> timedelta:
    return timedelta(seconds=max(deferred.LEAST_WAIT_S, min(wait.seconds, LONGEST_WAIT_S)))


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
    except REFUSALS as refusal:
        raise consequence(refusal) from None
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
        address_counted_at=ADDRESS_COUNTED,
        claim=claim,
        adapter=adapter,
        outlives_reader=True,
    )


def _claimed(claim: Claim) -> UUID:
    """Returns the request that has the claim. Raises Wait if it was not recorded after all."""
    assert claim.owner
    key = IdempotencyKey.objects.filter(owner=claim.owner, key=claim.key).first()
    if key is None or not Completion.objects.filter(pk=key.completion_id).exists():
        raise Wait(deferred.LEAST_WAIT_S)
    return key.completion_id
