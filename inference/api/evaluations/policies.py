"""Drives evaluations of decision policies: asks for each row as the policy would, and ends them.

The scores so far are on the row, so another process goes on where one has died.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import takewhile

import orjson
from channels.db import database_sync_to_async
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.utils import timezone

from audit.keys.keyring import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api import deferred
from inference.api.deferred import ADDRESS_COUNTED, Refused, Wait, caller_of, consequence
from inference.api.evaluations.submitting import waiting_time
from inference.api.refusals import REFUSALS
from inference.decisions import current_version, evaluating, model_question, policies
from inference.decisions.calibration import Unfit
from inference.decisions.evaluation.labelled_file import Row
from inference.decisions.evaluation.report import NoFigures, Report
from inference.decisions.spec import CHAT, PolicySpec
from inference.engines import engines_of
from inference.evaluation.side_order import ROUTE
from inference.intake.access import allowed
from inference.intake.context import Context
from inference.intake.submission import Arrival, Options, read
from inference.intake.submit import submit
from inference.models import PolicyEvaluation, PolicyPurpose
from inference.stream.frames import Frame, Kind
from inference.validation.requests import Form
from infrastructure.redis.link import RedisGone
from tenants.caller import Caller
from tenants.models.model_changes import lock

log = logging.getLogger(__name__)
in_database = database_sync_to_async
AT_ONCE = 8  # rows of an evaluation
KLASS = "batch"  # gives way to requests that people wait for
RENEW_S = 20.0
_PASSING = (429, 503)  # no engine took the row
_AWAY = (DatabaseError, MasterKeyUnavailable, RedisGone)  # another process goes on
AGAIN = timedelta(seconds=deferred.LEAST_WAIT_S)


class RowFailed(Wait):
    """An engine took a row and failed at it. It may do so each time."""


def drive_due() -> None:
    """Work on evaluations until none is due."""
    while evaluation := PolicyEvaluation.objects.select_related(
        "version__policy", "tenant", "api_key", "member"
    ).claim():
        asyncio.run(_drive(evaluation))


async def _drive(evaluation: PolicyEvaluation) -> None:
    context = await Context.open()
    renewing = asyncio.create_task(_renew(evaluation))
    try:
        await _work(context, evaluation)
    except RowFailed as failed:
        await in_database(evaluation.wait_for_row)(waiting_time(failed), failed.code)
    except Wait as wait:
        await in_database(evaluation.wait)(waiting_time(wait))
    except Refused as refused:
        await in_database(evaluation.fail)(refused.code)
    except _AWAY:
        raise
    except Exception:  # it comes again with the next try, which pays for the rows beside it
        log.exception("evaluation %s of a policy broke off", evaluation.pk)
        await in_database(evaluation.wait_for_row)(AGAIN, "internal_error")
    finally:
        renewing.cancel()
        await context.close()


async def _renew(evaluation: PolicyEvaluation) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        with suppress(Exception):  # the next one may succeed; else another process goes on
            await in_database(evaluation.renew)()


async def _work(context: Context, evaluation: PolicyEvaluation) -> None:
    """Raises Wait, Refused."""
    spec, rows = await in_database(_contents)(evaluation)
    caller = await caller_of(context, evaluation.api_key or evaluation.member)
    scores = list[float](evaluation.scores)
    while len(scores) < len(rows):
        # A row that failed is asked for alone: those beside it would be paid for once more.
        count = 1 if evaluation.failures else AT_ONCE
        portion = rows[len(scores) : len(scores) + count]
        fresh, problem = await _scores(context, caller, evaluation, spec, portion)
        scores += fresh
        if not await in_database(evaluation.note)(scores):
            return  # cancelled
        if problem:
            raise problem
    await in_database(_end)(evaluation, spec, rows, scores)


def _contents(evaluation: PolicyEvaluation) -> tuple[PolicySpec, list[Row]]:
    """Raises Refused."""
    try:
        return policies.spec_of(evaluation.version), evaluating.unpacked(evaluation.rows)
    except Unreadable:
        raise Refused("rows_gone") from None


async def _scores(
    context: Context,
    caller: Caller,
    evaluation: PolicyEvaluation,
    spec: PolicySpec,
    rows: Sequence[Row],
) -> tuple[list[float], BaseException | None]:
    """Returns the scores up to the first row that has none, and the problem with that row.

    Those before are not asked again: a limit may have room for some rows at a time only. Raises
    Refused.
    """
    if current_version.has_changed(caller.tenant_id, spec):
        raise Refused("model_changed")
    scoring = (_score(context, caller, evaluation, spec, row) for row in rows)
    scores = await asyncio.gather(*scoring, return_exceptions=True)
    problem = next((each for each in scores if isinstance(each, BaseException)), None)
    fresh = takewhile(lambda each: not isinstance(each, BaseException), scores)
    return [score for score in fresh if isinstance(score, float)], problem


async def _score(
    context: Context, caller: Caller, evaluation: PolicyEvaluation, spec: PolicySpec, row: Row
) -> float:
    """Returns the model's raw score of a row. Raises Wait, RowFailed, Refused."""
    try:
        engine = allowed.engine_for(caller, spec.model)
        tokens = {t for each in engines_of(engine.config.name) for t in each.control_tokens}
        body = model_question.body_of(spec, row.input, tokens)
        arrival = Arrival(ROUTE, address_counted_at=ADDRESS_COUNTED)
        form = Form.CHAT if spec.form == CHAT else Form.TEXT
        options = Options(klass=KLASS, affinity=evaluation.version_id.hex)
        submission = read(caller, body, len(orjson.dumps(body)), form, arrival, options)
        answer = await submit(context, submission)
    except REFUSALS as refusal:
        raise consequence(refusal) from None
    return _score_in(await answer.whole(), spec)


def _score_in(frame: Frame, spec: PolicySpec) -> float:
    if frame.kind == Kind.ERROR:
        code = str(orjson.loads(frame.body)["error"].get("code") or "refused")
        if frame.status in _PASSING:
            raise Wait(frame.retry_after or deferred.LEAST_WAIT_S)
        if frame.status >= 500:
            raise RowFailed(frame.retry_after or deferred.LEAST_WAIT_S, code)
        raise Refused(code)
    score = model_question.score_in(frame.body, spec)
    if score is None:
        raise Refused("no_score")
    return score


def _end(
    evaluation: PolicyEvaluation, spec: PolicySpec, rows: list[Row], scores: list[float]
) -> None:
    try:
        if evaluation.purpose == PolicyPurpose.REPORT:
            report = evaluating.report_of(spec, rows, scores, _about(evaluation, spec))
            _store(evaluation, report)
        else:
            purpose = str(evaluation.purpose)
            _store(evaluation, evaluating.fitted(spec, rows, scores, purpose, timezone.now()))
    except (Unfit, NoFigures, ValidationError) as problem:
        log.warning("evaluation %s of a policy: %s", evaluation.pk, problem)
        evaluation.fail("cannot_fit")


def _store(evaluation: PolicyEvaluation, made: Report | PolicySpec) -> None:
    """Store what it came to, once; nothing of one that was cancelled. Raises ValidationError."""
    version, by = evaluation.version, evaluation.created_by
    with transaction.atomic():
        lock(evaluation)
        if evaluation.is_over:
            return
        if isinstance(made, PolicySpec):
            evaluation.succeed(written=policies.write(version.policy, made, by=by).number)
        else:
            version.note_report(made, by=by)
            evaluation.succeed(made)


def _about(evaluation: PolicyEvaluation, spec: PolicySpec) -> dict[str, object]:
    return {
        "evaluation": str(evaluation.pk),
        "created_at": evaluation.created_at.isoformat(),
        "policy": evaluation.version.policy.name,
        "version": evaluation.version.number,
        "model": spec.model,
        "model_version": spec.model_version,
        "calibration": spec.calibration.method if spec.calibration else None,
    }
