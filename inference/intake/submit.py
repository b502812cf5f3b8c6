"""Steps 2 to 5 of a request's life, the same for every front end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from inference.intake import allowed, refusals
from inference.intake.admit import admit, undo
from inference.intake.answer_stream import AnswerStream
from inference.intake.cancellation import NOT_RUN
from inference.intake.context import Context
from inference.intake.draft import draft
from inference.intake.enqueue import enqueue, leave
from inference.intake.errors import NotAdmitted
from inference.intake.put_on_record import put_on_record
from inference.intake.submission import Submission
from inference.order import Order

BeforeQueue = Callable[[UUID], Awaitable[Any]]


async def submit(
    context: Context, submission: Submission, *, before_queue: BeforeQueue | None = None
) -> AnswerStream:
    """Admits, puts on record, queues: or refuses, and leaves nothing behind.

    `before_queue` gets the request's id once it is on record; when it fails, the request is
    settled as not run. Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService, KeyTaken.
    """
    allowed.check(submission.caller, submission.engine, submission.client_ip)
    order = await draft(context, submission)
    try:
        answer = await _on_record(context, submission, order)
    except NotAdmitted as refused:
        raise refusals.not_admitted(
            context, refused, submission.caller, order.route, order.client_ip, order.model
        ) from None
    if before_queue:
        await _call(before_queue, context, order)
    context.revocation.begin(order, submission.caller.credential, answer.sink)
    try:
        answer.place = await enqueue(context, order, answer.on_record.ciphertext, answer.sink)
    except asyncio.CancelledError:  # this process stops
        leave(context, order)
        raise
    return answer


async def _on_record(context: Context, submission: Submission, order: Order) -> AnswerStream:
    admitted = await admit(context, submission, order)
    sink = context.returns.expect(order.id.bytes, order.tenant_id.bytes)
    try:
        recorded = await put_on_record(
            context, order, submission.caller.time_zone, submission.claim
        )
    except BaseException:
        context.returns.forget(order.id.bytes)
        undo(context, admitted)
        raise
    return AnswerStream(context, order, sink, admitted.admission, recorded)


async def _call(before_queue: BeforeQueue, context: Context, order: Order) -> None:
    try:
        await before_queue(order.id)
    except BaseException:
        context.returns.forget(order.id.bytes)
        context.background.run(context.cancellation.settle_unstarted(order, NOT_RUN))
        raise
