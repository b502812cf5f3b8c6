"""Turns the chunks of a stream into the events of a response.

Each chunk becomes the same events whatever frame it comes in, so that a stream that is read again
has the same sequence numbers. The last event of a chunk has the chunk's number as its id.
"""

from typing import TypeVar

import orjson

from inference.api.responses import errors, output
from inference.api.responses.open_items import OpenCall, OpenItem, OpenMessage, OpenReasoning
from inference.api.responses.output import CANCELLED, COMPLETED, FAILED, IN_PROGRESS, Shape
from inference.codec.chunks import Choice, Function, ToolCall, decoded
from inference.codec.events import split
from inference.codec.parts import REFUSAL, TEXT, THOUGHT, PartsInTurn, Piece
from inference.errors import Cancelled
from inference.queue_control import cancelling
from inference.stream.frames import Frame, Kind
from inference.validation.schemas import Body

# No blank line stands behind a comment: behind an `id:` it would end an event without data.
KEEP_ALIVE = b": keep-alive\n"
_ENDED_EARLY = (Cancelled.code, cancelling.CODE)
Item = TypeVar("Item", OpenReasoning, OpenMessage)


class EventWriter:
    """Writes one stream.

    Events up to the sequence number `after`, and those of chunks up to `after_chunk`, are counted
    and not written: the reader has them.
    """

    def __init__(self, shape: Shape, *, after: int = -1, after_chunk: int = 0) -> None:
        self._shape = shape
        self._after, self._after_chunk = after, after_chunk
        self._events: list[bytes] = []  # of this frame
        self._sequence, self._chunk = 0, 0  # numbers of the next event, and of this chunk
        self._item: OpenItem | None = None
        self._parts = PartsInTurn()
        self._output: list[Body] = []  # the finished items
        self._finish_reason = ""
        self._usage: object = None
        self.response: Body | None = None  # once it has ended

    def written(self, frame: Frame) -> bytes:
        """Returns the events of a frame; b"" where the reader has them already."""
        if frame.kind == Kind.ERROR:
            self._chunk = frame.last
            return self.failed(errors.of_frame(frame))
        self._read(frame)
        if frame.final and self._chunk > self._after_chunk:
            self._events.append(errors.DONE)
        return self._taken()

    def begun(self) -> bytes:
        """Returns the first events, for a client that has waited long."""
        self._chunk = 1
        self._begin_once()
        return self._taken()

    def failed(self, error: Body) -> bytes:
        """Returns the end of a stream that cannot go on; `error` has `code` and `message`."""
        self._chunk = max(self._chunk, 1)
        self._begin_once()
        first, had = len(self._events), self._after_chunk
        self._write_from_here()
        self._fail(CANCELLED if error["code"] in _ENDED_EARLY else FAILED, error)
        self._chunk = max(self._chunk, had)
        self._number(first)
        self._events.append(errors.DONE)
        return self._taken()

    def _write_from_here(self) -> None:
        """Write all that follows, also for a reader that had more than is kept by now.

        [DONE] alone would look like the end of an answer.
        """
        self._after_chunk, self._sequence = -1, max(self._sequence, self._after + 1)

    def _taken(self) -> bytes:
        text = b"".join(self._events)
        self._events.clear()
        return text

    def emit(self, name: bytes, fields: bytes) -> None:
        """Write an event; `fields` are its fields in JSON, without braces."""
        number = self._sequence
        self._sequence = number + 1
        if number > self._after and self._chunk > self._after_chunk:
            self._events.append(
                b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n'
                % (name, name, number, fields)
            )

    # Chunks --------------------------------------------------------------------------------------
    def _read(self, frame: Frame) -> None:
        events = split(frame.body)
        self._chunk = frame.last - len(events)
        for chunk in decoded(events):
            self._chunk += 1
            first = len(self._events)
            self._begin_once()
            if chunk.usage:
                self._usage = chunk.usage
            if choice := chunk.choice:
                self._choice(choice)
            self._number(first)
        if frame.kind == Kind.END:
            first = len(self._events)
            self._end()
            self._number(first)

    def _number(self, first: int) -> None:
        """Give the last of the events from `first` on the number of this chunk."""
        if len(self._events) > first:
            self._events[-1] = b"id: %d\n%b" % (self._chunk, self._events[-1])

    def _begin_once(self) -> None:
        if self._sequence:
            return
        response = b'"response":%b' % orjson.dumps(self._shape.response(IN_PROGRESS))
        self.emit(b"response.created", response)
        self.emit(b"response.in_progress", response)

    def _choice(self, choice: Choice) -> None:
        if delta := choice.piece:
            for piece in self._parts.take(delta, choice.logprobs):
                self._grow(piece)
        if choice.finish_reason:
            for piece in self._parts.rest():
                self._grow(piece)
            self._finish_reason = choice.finish_reason

    def _grow(self, piece: Piece) -> None:
        if piece.kind == TEXT:
            self._open(OpenMessage).grow(piece.text, piece.logprobs)
        elif piece.kind == THOUGHT:
            self._open(OpenReasoning).grow(piece.text)
        elif piece.kind == REFUSAL:
            self._open(OpenMessage).refuse(piece.text)
        elif piece.call:
            self._call(piece.call)

    def _call(self, call: ToolCall) -> None:
        function, number = call.function or Function(), call.index or 0
        item = self._item
        if not isinstance(item, OpenCall) or item.number != number:
            self._close(COMPLETED)
            own = output.call_of(self._shape, len(self._output), call.id, function.name)
            item = OpenCall(self, len(self._output), own, number)
            self._item = item
        if text := function.text:
            item.grow(text)

    # Items ---------------------------------------------------------------------------------------
    def _open(self, kind: type[Item]) -> Item:
        """Returns the open item of this kind, or a new one."""
        if isinstance(self._item, kind):
            return self._item
        self._close(COMPLETED)
        item = kind(self, len(self._output), self._shape)
        self._item = item
        return item

    def _close(self, status: str) -> None:
        if self._item:
            self._output.append(self._item.close(status))
            self._item = None

    # The end -------------------------------------------------------------------------------------
    def _end(self) -> None:
        """Write the end; of a stream that was ended early, that it was cancelled."""
        self._begin_once()
        if not self._finish_reason:
            error = Cancelled()
            return self._fail(CANCELLED, {"code": error.code, "message": error.message})
        if not (self._item or self._output):
            self._open(OpenMessage).grow("")
        self._close(output.status_of(self._finish_reason))
        self.response = self._shape.ended(self._finish_reason, self._output, self._usage)
        return self._tell(b"response.%b" % self.response["status"].encode(), self.response)

    def _fail(self, status: str, error: Body) -> None:
        self._close(output.INCOMPLETE)
        self.response = self._shape.response(status, error=error, output=self._output)
        self._tell(b"response.failed", self.response)

    def _tell(self, name: bytes, response: Body) -> None:
        self.emit(name, b'"response":%b' % orjson.dumps(response))
