"""The answer to a submission, as it arrives. A front end writes nothing else onto its wire."""

import asyncio
import time
from collections.abc import AsyncGenerator

from django.db import DatabaseError

from audit.keys.keyring import Unreadable, keyring
from audit.models import Payload
from inference.intake.context import Context
from inference.intake.recording import OnRecord
from inference.models import Completion, State, Usage
from inference.order import Order
from inference.queue.expected_wait import Place
from inference.record import request_rows
from inference.stream import frames
from inference.stream.frames import Frame, Kind, error_frame
from inference.stream.reader_buffer import ReaderBuffer
from infrastructure.postgres.request_threads import in_request_thread
from infrastructure.redis.link import RedisGone
from tenants.quotas.ledger_answer import Verdict
from tenants.rate_limits.admission import Admission
from tenants.scope import tenant_scope

OVERTIME_S = 5.0
LOOK_AROUND_S = 3.0  # silence after which the answer may be lost
# A worker sends a stream's end once it has heard of the commit. Where PostgreSQL's primary changes
# in between, the record is there seconds before.
LOST_AFTER_S = 10.0


class ReaderGone(Exception):
    """The reader has disconnected. The generated part is settled."""


class AnswerStream:
    """Frames with numbered events, and the results of admission, quotas and the record."""

    def __init__(
        self,
        context: Context,
        order: Order,
        buffer: ReaderBuffer,
        admission: Admission,
        on_record: OnRecord,
    ) -> None:
        self._context, self.order, self.buffer = context, order, buffer
        self.admission, self.on_record = admission, on_record
        self.place = Place()  # its place when it joined its queue
        self.is_kept = False  # the answer is a cached one of an earlier request

    @property
    def verdict(self) -> Verdict:
        """Returns the state of the quotas when the request was recorded."""
        return self.on_record.verdict

    @property
    def place_now(self) -> Place:
        """Returns the present place; position 0 once it runs, or if it never waited."""
        return Place() if self.buffer.attempt else self.place.now(self.order.queue)

    @property
    def receipt(self) -> bytes:
        """Proves later that the record is unchanged (docs/audit.md)."""
        return bytes(request_rows.receipt(self.order, self.on_record.payload_sha256))

    async def frames(self) -> AsyncGenerator[Frame | None]:
        """Yields frames up to the final one; None after LOOK_AROUND_S of silence.

        Iterate once, and close it. Closing it before the end, or after `hang_up`, cancels the
        generation, unless it outlives its reader. Raises ReaderGone.
        """
        try:
            while True:
                frame = await self._next()
                yield frame
                if frame and frame.final:
                    return
        finally:
            self._end()

    async def whole(self) -> Frame:
        """Returns the final frame of an answer in one piece. Raises ReaderGone."""
        try:
            while True:
                frame = await self._next()
                if frame and frame.final:
                    return frame
        finally:
            self._end()

    async def _next(self) -> Frame | None:
        frame = await self.buffer.next(LOOK_AROUND_S)
        if self.buffer.hung_up:
            raise ReaderGone
        if frame is None:
            await recover(self._context, self.order, self.buffer)
        return frame

    def _end(self) -> None:
        forget_reader(self._context, self.order)
        if not (self.buffer.finished or self.order.outlives_reader):
            self._context.cancellation.cancel(self.order)

    def hang_up(self) -> None:
        """Note that the reader has disconnected."""
        self.buffer.hang_up()

    def give_up(self) -> None:
        """Cancel the generation of a reader that is gone before it began. Does not wait."""
        forget_reader(self._context, self.order)
        if not self.order.outlives_reader:
            self._context.cancellation.cancel(self.order)

    def leave(self) -> None:
        """Stop reading here, while it goes on: readers follow the stored events instead."""
        forget_reader(self._context, self.order)


def forget_reader(context: Context, order: Order) -> None:
    """Forget a request whose reader has the whole answer, or is gone."""
    context.frame_reader.forget(order.id.bytes)
    context.revocation.leave(order)
    context.kept_answers.leave(order)


# Recovery of an answer that may have been lost, for example with the data of Redis ----------------
async def recover(context: Context, order: Order, buffer: ReaderBuffer) -> None:
    """Put what is available elsewhere into the buffer: stored events, or the recorded answer."""
    if order.stream:
        await _from_history(context, order, buffer)
    frame = None if buffer.finished else await in_request_thread(_recorded)(order, buffer.last)
    if frame and not (_is_lost(order, frame) and _may_come(buffer)):
        buffer.put(frame)
    if not (buffer.finished or frame) and time.time() > order.deadline + OVERTIME_S:
        buffer.put(
            error_frame(buffer.last + 1, 504, "deadline_exceeded", "the answer took too long")
        )
        context.cancellation.cancel(order)


def _is_lost(order: Order, frame: Frame) -> bool:
    return order.stream and frame.kind == Kind.ERROR and b'"stream_lost"' in frame.body


def _may_come(buffer: ReaderBuffer) -> bool:
    """Returns whether the end of a stream that is on record may still be on its way."""
    now = asyncio.get_running_loop().time()
    buffer.ended_at = buffer.ended_at or now
    return now < buffer.ended_at + LOST_AFTER_S


async def _from_history(context: Context, order: Order, buffer: ReaderBuffer) -> None:
    name = frames.history(order.id.bytes)
    try:
        answer = await context.redis.call("XREAD", "STREAMS", name, str(buffer.last))
    except RedisGone:
        return
    for _, entries in answer or ():
        for frame in frames.in_entries(entries, name):
            buffer.put(frame)


def _recorded(order: Order, last: int) -> Frame | None:
    try:
        with tenant_scope(order.tenant_id):
            completion = Completion.objects.exclude(state=State.OPEN).get(id=order.id)
            usage = Usage.objects.get(completion_id=order.id)
            response = Payload.objects.filter(request_id=order.id, field="response").first()
            return _as_recorded(order, last, completion, usage, response)
    except (DatabaseError, Completion.DoesNotExist, Usage.DoesNotExist):
        return None


def _as_recorded(
    order: Order, last: int, completion: Completion, usage: Usage, response: Payload | None
) -> Frame:
    if completion.state == State.CANCELLED:
        return error_frame(last + 1, 499, "cancelled", "this request was cancelled")
    if usage.error_code or response is None or order.stream:
        code = usage.error_code or "stream_lost"
        return error_frame(
            last + 1, 502, code, "the answer ended, but was lost on its way; send it again"
        )
    try:
        cipher = keyring.by_id_now(response.data_key_id)
        body = cipher.decrypt(bytes(response.ciphertext), request_rows.aad(order, "response"))
    except Unreadable:
        return error_frame(last + 1, 502, "stream_lost", "the answer has been erased")
    served_by = frames.upstream(completion.queue)
    return Frame(order.id.bytes, usage.attempts, last, Kind.BODY, body, upstream=served_by)
