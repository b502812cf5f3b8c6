"""Steps 3 to 6 of a request's life, and its draft before them, for every front end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings

from inference import classes
from inference.intake import refusals
from inference.intake.access import allowed
from inference.intake.answer_stream import AnswerStream, forget_reader
from inference.intake.authentication import current_caller
from inference.intake.cache_lookup import SHARED, CacheHit
from inference.intake.cache_replay import CachedReplay, replay_kept
from inference.intake.cancellation import NOT_RUN
from inference.intake.context import Context
from inference.intake.draft import draft, with_pool
from inference.intake.enqueue import enqueue
from inference.intake.errors import NotAdmitted
from inference.intake.recording import put_on_record
from inference.intake.refusals import out_of_quota
from inference.intake.submission import Submission
from inference.models import Completion
from inference.order import Order
from inference.record import limit_usage
from inference.tracing.spans import step
from infrastructure.postgres.request_threads import in_request_thread
from tenants.caller import Caller
from tenants.rate_limits.admission import Admission, Ask
from tenants.scope import read_in_tenant_scope

BeforeQueue = Callable[[UUID], Awaitable[Any]]
LATE_S = 1.5  # soon after that the sweeper queues a request which is on record and in no queue


async def submit(
    context: Context, submission: Submission, *, before_queue: BeforeQueue | None = None
) -> AnswerStream:
    """Admit, record and queue a request; a refused one leaves nothing behind.

    `before_queue` gets the request's id once it is recorded; if it fails, the request is
    settled as not run. Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService, KeyTaken.
    """
    _check(submission, submission.caller)
    order = await draft(context, submission)
    try:
        answer, replay = await _admit_and_record(context, submission, order)
        order = answer.order
    except NotAdmitted as refused:
        raise refusals.not_admitted(
            context, refused, submission.caller, order.route, order.client_ip, order.model
        ) from None
    answer.is_kept = replay is not None
    if replay:
        await replay_kept(context, answer, replay, settled=replay.fits_one_commit)
        return answer
    if before_queue and await _ran_meanwhile(before_queue, context, order):
        return answer
    context.revocation.begin(order, submission.caller.credential, answer.buffer)
    try:
        with step("join queue"):
            answer.place = await enqueue(
                context, order, answer.on_record.ciphertext, answer.buffer, submission.prefixes
            )
    except asyncio.CancelledError:  # this process stops
        forget_reader(context, order)
        raise
    return answer


def _check(submission: Submission, caller: Caller) -> None:
    scope = classes.of(submission.klass).scope
    allowed.check(caller, submission.engine, submission.client_ip, scope)


def _check_again(submission: Submission, caller: Caller) -> None:
    """Check the caller as it is now.

    A line of a batch has no address: its batch was created from an allowed one.
    """
    if not submission.client_ip:
        caller = replace(caller, networks=submission.caller.networks)
    _check(submission, caller)


class Admitted(msgspec.Struct, frozen=True):
    admission: Admission
    ask: Ask
    counted_at: int  # for `undo`


async def admit(context: Context, submission: Submission, order: Order) -> Admitted:
    """Charge all limits. Raises NotAdmitted."""
    now = asyncio.get_running_loop().time()
    subject = submission.caller, order.model, order.charge
    if quota := context.quotas.exhausted.refusal(*subject, now, order.session):
        raise out_of_quota(quota)
    ask = Ask.of(
        submission.caller,
        str(order.id),
        client_ip=submission.client_ip,
        per_address=settings.ADDRESS_PER_MINUTE,
        tokens=limit_usage.reserved_tokens(order),
        hold_s=limit_usage.hold_s(order),
        takes_slot=limit_usage.takes_slot(order.klass, order.route),
        address_counted_at=submission.address_counted_at,
        size=len(submission.body),
    )
    admission, counted_at = await context.limits.rate.admit(ask)
    if admission.tier:
        raise NotAdmitted(admission)
    return Admitted(admission, ask, counted_at)


def undo(context: Context, admitted: Admitted) -> None:
    """Take the charge of a request back that was refused later. Does not wait."""
    context.background.run(context.limits.rate.undo(admitted.ask, admitted.counted_at))


async def _admit_and_record(
    context: Context, submission: Submission, order: Order
) -> tuple[AnswerStream, CachedReplay | None]:
    with step("admit"):
        admitted = await admit(context, submission, order)
    replay = None
    if submission.cache:
        hit, order = await _lookup(context, submission, order, admitted)
        if hit:
            replay = CachedReplay.of(order, hit)
            order = replay.order
    settled = replay.settled if replay and replay.fits_one_commit else None
    buffer = context.frame_reader.expect(order.id.bytes, order.tenant_id.bytes)
    try:
        with step("put on record"):
            recorded = await put_on_record(
                context, order, submission.caller.time_zone, submission.claim, settled=settled
            )
    except BaseException:
        context.frame_reader.forget(order.id.bytes)
        _leave_nothing(context, order, admitted)
        raise
    return AnswerStream(context, order, buffer, admitted.admission, recorded), replay


async def _lookup(
    context: Context, submission: Submission, order: Order, admitted: Admitted
) -> tuple[CacheHit | None, Order]:
    """Return the cached answer, and the order with the pool for its record.

    Raises NotFound, Unauthorized, and the errors of routing if there is none.
    """
    assert submission.cache
    try:
        hit = await context.kept_answers.find(order, submission.cache)
        if hit and hit.level == SHARED:
            _check_again(submission, await current_caller(context, submission.caller))
        return hit, await with_pool(context, submission, order, runs=hit is None)
    except BaseException:
        _leave_nothing(context, order, admitted)
        raise


def _leave_nothing(context: Context, order: Order, admitted: Admitted) -> None:
    undo(context, admitted)
    if order.cached:
        context.background.run(context.kept_answers.abandon(order))


async def _ran_meanwhile(before_queue: BeforeQueue, context: Context, order: Order) -> bool:
    """Call it. Returns whether it took so long that the sweeper queued the request, which is over.

    It would run once more if it was queued now.
    """
    began = time.monotonic()
    await _call(before_queue, context, order)
    if time.monotonic() - began < LATE_S:
        return False
    is_open = Completion.objects.open().filter(pk=order.id).exists
    return not await in_request_thread(read_in_tenant_scope)(order.tenant_id, is_open)


async def _call(before_queue: BeforeQueue, context: Context, order: Order) -> None:
    try:
        await before_queue(order.id)
    except BaseException:
        context.frame_reader.forget(order.id.bytes)
        context.background.run(context.cancellation.settle_unstarted(order, NOT_RUN))
        raise
