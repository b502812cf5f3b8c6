"""The answer to a submission, as it comes: the one thing that a front end writes onto its wire."""

from collections.abc import AsyncGenerator

from inference.intake.context import Context
from inference.intake.enqueue import leave
from inference.intake.put_on_record import OnRecord
from inference.intake.recovery import recover
from inference.order import Order
from inference.queue.expected_wait import Place
from inference.record import statements
from inference.stream.frames import Frame
from inference.stream.sink import Sink
from tenants.quotas.verdict import Verdict
from tenants.rate_limits.admission import Admission

LOOK_AROUND_S = 3.0  # silence after which we check whether the answer went astray


class ReaderGone(Exception):
    """Nobody reads on. What was generated is settled."""


class AnswerStream:
    """Frames with numbered events, and what admission, quotas and the record say of the request."""

    def __init__(
        self,
        context: Context,
        order: Order,
        sink: Sink,
        admission: Admission,
        on_record: OnRecord,
    ) -> None:
        self._context, self.order, self.sink = context, order, sink
        self.admission, self.on_record = admission, on_record
        self.place = Place()  # in its queue, as it joined
        self.is_kept = False  # an earlier request's answer

    @property
    def verdict(self) -> Verdict:
        """What the quotas left when the request was put on record."""
        return self.on_record.verdict

    @property
    def place_now(self) -> Place:
        """Position 0 once it has begun, or where it had not to wait."""
        return Place() if self.sink.attempt else self.place.now(self.order.queue)

    @property
    def receipt(self) -> bytes:
        """Shows later that the record is what it was (docs/audit.md)."""
        return bytes(statements.receipt(self.order, self.on_record.payload_sha256))

    async def frames(self) -> AsyncGenerator[Frame | None]:
        """Up to the final one; None after LOOK_AROUND_S of silence. Iterate once, and close it.

        Closed before the end, or after `hang_up`, the generation is cancelled, unless it outlives
        its reader. Raises ReaderGone.
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
        """The final frame of an answer that comes in one piece. Raises ReaderGone."""
        try:
            while True:
                frame = await self._next()
                if frame and frame.final:
                    return frame
        finally:
            self._end()

    async def _next(self) -> Frame | None:
        frame = await self.sink.next(LOOK_AROUND_S)
        if self.sink.hung_up:
            raise ReaderGone
        if frame is None:
            await recover(self._context, self.order, self.sink)
        return frame

    def _end(self) -> None:
        leave(self._context, self.order)
        if not (self.sink.finished or self.order.outlives_reader):
            self._context.cancellation.cancel(self.order)

    def hang_up(self) -> None:
        """The reader has gone."""
        self.sink.hang_up()

    def give_up(self) -> None:
        """The reader has gone before it began: the generation is cancelled. Does not wait."""
        leave(self._context, self.order)
        if not self.order.outlives_reader:
            self._context.cancellation.cancel(self.order)

    def leave(self) -> None:
        """Nobody reads here; readers follow the kept events instead. It goes on."""
        leave(self._context, self.order)
