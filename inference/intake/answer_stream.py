"""The answer to a submission, as it arrives. A front end writes nothing else onto its wire."""

from collections.abc import AsyncGenerator

from inference.intake.context import Context
from inference.intake.enqueue import leave
from inference.intake.lost_answers import recover
from inference.intake.recording import OnRecord
from inference.order import Order
from inference.queue.expected_wait import Place
from inference.record import statements
from inference.stream.frames import Frame
from inference.stream.sink import Sink
from tenants.quotas.ledger_answer import Verdict
from tenants.rate_limits.admission import Admission

LOOK_AROUND_S = 3.0  # silence after which the answer may be lost


class ReaderGone(Exception):
    """The reader has disconnected. The generated part is settled."""


class AnswerStream:
    """Frames with numbered events, and the results of admission, quotas and the record."""

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
        self.place = Place()  # its place when it joined its queue
        self.is_kept = False  # the answer is a cached one of an earlier request

    @property
    def verdict(self) -> Verdict:
        """Returns the state of the quotas when the request was recorded."""
        return self.on_record.verdict

    @property
    def place_now(self) -> Place:
        """Returns the present place; position 0 once it runs, or if it never waited."""
        return Place() if self.sink.attempt else self.place.now(self.order.queue)

    @property
    def receipt(self) -> bytes:
        """Proves later that the record is unchanged (docs/audit.md)."""
        return bytes(statements.receipt(self.order, self.on_record.payload_sha256))

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
        """Note that the reader has disconnected."""
        self.sink.hang_up()

    def give_up(self) -> None:
        """Cancel the generation of a reader that is gone before it began. Does not wait."""
        leave(self._context, self.order)
        if not self.order.outlives_reader:
            self._context.cancellation.cancel(self.order)

    def leave(self) -> None:
        """Stop reading here, while it goes on: readers follow the stored events instead."""
        leave(self._context, self.order)
