"""Turns the chunks of a stream into the events of a message.

Each frame becomes events of one piece of text, since its chunks arrived together. Its last event
has the number of the last chunk as its id, from which the stream can be read again, and a letter
for thinking that the client does not get.
"""

from typing import Any

import orjson

from inference.api.anthropic import answers, errors
from inference.api.anthropic.answers import SIGNATURE, Json, Stop, Thoughts
from inference.api.anthropic.growing_input import GrowingInput
from inference.codec.chunks import NO_CHUNK, Choice, Function, ToolCall, decoded
from inference.codec.events import split
from inference.codec.parts import THOUGHT, PartsInTurn, Piece
from inference.errors import Cancelled
from inference.order import Order
from inference.stream.frames import Frame, Kind

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"%b","%b":%b}}\n\n'
)
_BLOCK_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_TEXT, _THINKING, _TOOL = "text", "thinking", "tool_use"
# The type of a block's deltas, and the field of them that grows.
_GROWS = {
    _TEXT: (b"text_delta", b"text"),
    _THINKING: (b"thinking_delta", b"thinking"),
    _TOOL: (b"input_json_delta", b"partial_json"),
}


class EventWriter:
    """Writes one stream. `order` is None for one that is read again.

    Chunks up to number `after` are read, and not written: the reader has them.
    """

    def __init__(
        self,
        identity: str,
        order: Order | None,
        thoughts: Thoughts = Thoughts.SHOWN,
        *,
        after: int = 0,
    ) -> None:
        self._identity, self._order = identity, order
        self._thoughts, self._after = thoughts, after
        self._events: list[bytes] = []  # of this frame
        self._begun = False
        self._block, self._index = "", -1  # the open block's type, and its number
        self._call: int | None = None  # the number of the open call
        self._input = GrowingInput()  # of the open call
        self._parts = PartsInTurn()
        self._pieces: list[str] = []  # of the open block, in this frame
        self._stop: Stop | None = None
        self._usage: Any = None
        self._has_calls = False

    def written(self, frame: Frame, request_id: str) -> bytes:
        """Returns the events of a frame; b"" where the reader has them already."""
        if frame.kind == Kind.ERROR:
            return self._with_id(errors.event(errors.frame_body(frame, request_id)), frame.last)
        chunks = split(frame.body)
        start = max(0, min(len(chunks), self._after - (frame.last - len(chunks))))
        if start:
            self._read(chunks[:start])
            self._flush()
            self._events.clear()
        self._read(chunks[start:])
        self._flush()
        if frame.kind == Kind.END and self._after < frame.last:
            self._end(request_id)
        text, self._events = b"".join(self._events[:-1]), self._events[-1:]
        last = self._events.pop() if self._events else b""
        return text + self._with_id(last, frame.last) if last else b""

    def _with_id(self, event: bytes, number: int) -> bytes:
        return b"id: %d%b\n%b" % (number, self._thoughts.value.encode(), event)

    # Chunks --------------------------------------------------------------------------------------
    def _read(self, events: list[bytes]) -> None:
        for chunk in decoded(events):
            if chunk is NO_CHUNK:
                continue
            if not self._begun:
                self._begin(chunk.model)
            if chunk.usage:
                self._usage = chunk.usage
            if choice := chunk.choice:
                self._choice(choice)

    def _choice(self, choice: Choice) -> None:
        if delta := choice.piece:
            for piece in self._parts.take(delta):
                self._grow_part(piece)
        if choice.finish_reason:
            for piece in self._parts.rest():
                self._grow_part(piece)
            self._stop = Stop(choice.finish_reason, choice.stop_reason or choice.matched_stop)

    def _grow_part(self, piece: Piece) -> None:
        if piece.call:
            self._grow_call(piece.call)
        elif piece.kind != THOUGHT:
            self._grow(_TEXT, piece.text)
        elif self._thoughts is not Thoughts.HIDDEN:
            self._grow(_THINKING, piece.text)

    def _begin(self, model: Any) -> None:
        self._begun = True
        usage = {**answers.NO_USAGE, "service_tier": "standard"}
        stop = {"stop_reason": None, "stop_sequence": None}
        message = {**answers.head(self._identity, model), "content": [], **stop, "usage": usage}
        self._write("message_start", {"message": message})
        self._events.append(PING)

    # Blocks --------------------------------------------------------------------------------------
    def _grow(self, block: str, text: str) -> None:
        if block != self._block:
            self._open(block, {block: ""})
        if block != _THINKING or self._thoughts is Thoughts.SHOWN:
            self._pieces.append(text)

    def _grow_call(self, call: ToolCall) -> None:
        function, number = call.function or Function(), call.index or 0
        if self._block != _TOOL or number != self._call:
            self._call, self._has_calls = number, True
            identity = call.id or f"toolu_{number}"
            self._open(_TOOL, {"id": identity, "name": function.name or "", "input": {}})
            self._input = GrowingInput()
        if text := self._input.add(function.text):
            self._pieces.append(text)

    def _open(self, block: str, fields: Json) -> None:
        self._close()
        self._block, self._index = block, self._index + 1
        signature = {"signature": ""} if block == _THINKING else {}
        content = {"type": block, **fields, **signature}
        self._write("content_block_start", {"index": self._index, "content_block": content})

    def _close(self) -> None:
        if not self._block:
            return
        if self._block == _TOOL:
            self._end_input()
        self._flush()
        if self._block == _THINKING:
            signature = orjson.dumps(SIGNATURE)
            delta = (self._index, b"signature_delta", b"signature", signature)
            self._events.append(_DELTA % delta)
        self._events.append(_BLOCK_STOP % self._index)
        self._block = ""

    def _end_input(self) -> None:
        was_cut = self._stop is not None and self._stop.reason == "length"
        if text := self._input.end(was_cut=was_cut):
            self._pieces.append(text)

    def _flush(self) -> None:
        if self._pieces:
            text = orjson.dumps("".join(self._pieces))
            self._events.append(_DELTA % (self._index, *_GROWS[self._block], text))
            self._pieces.clear()

    # The end -------------------------------------------------------------------------------------
    def _end(self, request_id: str) -> None:
        """Write the end; of a stream that was ended early, an error."""
        if self._stop is None:
            error = Cancelled()
            error.request_id = request_id
            self._events.append(errors.last_words(error))
            return
        self._close()
        usage = answers.usage_of(self._usage)
        tokens, calls = usage["output_tokens"], self._has_calls
        delta = answers.stop_fields(self._stop, self._order, tokens, has_calls=calls)
        self._write("message_delta", {"delta": delta, "usage": usage})
        self._events.append(_STOP)

    def _write(self, name: str, fields: Json) -> None:
        data = orjson.dumps({"type": name, **fields})
        self._events.append(b"event: %b\ndata: %b\n\n" % (name.encode(), data))
