"""Writes answers: as lines of JSON while they are made, or whole."""

import time
from datetime import UTC, datetime
from typing import Any

import orjson

from inference.api.ollama import errors
from inference.api.ollama.chunks import ChunkReader, Json, Piece
from inference.codec.answer_translator import count
from inference.codec.events import split
from inference.errors import Cancelled
from inference.stream.frames import Frame, Kind

# The reason of an answer's end, and what Ollama's clients read.
DONE_REASONS = {"stop": "stop", "tool_calls": "stop", "function_call": "stop", "length": "length"}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Timing:
    """The moments of an answer, in nanoseconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._arrived = self._recorded = time.monotonic_ns()
        self._first = 0

    def recorded(self) -> None:
        self._recorded = time.monotonic_ns()

    def came(self) -> None:
        """Note a piece of the answer."""
        self._first = self._first or time.monotonic_ns()

    def comes_whole(self) -> None:
        """Note that nobody will see when the first word came: all of the time is the answer's."""
        self._first = self._recorded

    def durations(self) -> dict[str, int]:
        """Returns the durations up to now, without those that are 0."""
        ended = time.monotonic_ns()
        first = self._first or ended
        durations = {
            "total_duration": ended - self._arrived,
            "load_duration": self._recorded - self._arrived,
            "prompt_eval_duration": first - self._recorded,
            "eval_duration": ended - first,
        }
        return {name: duration for name, duration in durations.items() if duration}


class Shape:
    """The shape of a call's answers, for the model's name that the client gave."""

    def __init__(self, model: str, *, is_chat: bool) -> None:
        self._model, self._is_chat = model, is_chat

    def line(self, piece: Piece, calls: list[Json] | None = None, **more: Any) -> Json:
        """Returns a part of an answer; the last one with `done`: True."""
        beside: Json = {"thinking": piece.thinking} if piece.thinking else {}
        if calls:
            beside["tool_calls"] = calls
        line: Json = {"model": self._model, "created_at": now()}
        if self._is_chat:
            line["message"] = {"role": "assistant", "content": piece.text, **beside}
        else:
            line |= {"response": piece.text, **beside}
        if piece.logprobs:
            line["logprobs"] = piece.logprobs
        return line | {"done": False} | more

    def loaded(self, reason: str) -> Json:
        """Returns the answer to a request without a prompt."""
        return self.line(Piece(), done=True, done_reason=reason)


class LineWriter:
    """Writes one answer. `timing` is None for a stream that is read again.

    Each frame becomes a line with all of its text, since its chunks arrived together. The last line
    of a frame has the number of its last chunk as `event`, from which the stream can be read again:
    chunks up to number `after` are read, and not written.
    """

    def __init__(
        self,
        shape: Shape,
        timing: Timing | None = None,
        *,
        shows_thinking: bool = True,
        after: int = 0,
    ) -> None:
        self._shape, self._timing, self._after = shape, timing, after
        self._reader = ChunkReader(shows_thinking=shows_thinking)

    def written(self, frame: Frame) -> bytes:
        """Returns the lines of a frame; b"" where the reader has them, or there is no text."""
        if frame.kind == Kind.ERROR:
            return errors.line(errors.frame_body(frame), frame.last)
        chunks = split(frame.body)
        start = max(0, min(len(chunks), self._after - (frame.last - len(chunks))))
        if start:
            self._reader.read(chunks[:start])
            self._reader.take()
        lines = self._lines(chunks[start:])
        if frame.kind == Kind.END and self._after < frame.last:
            lines += self._end()
        if lines:
            lines[-1]["event"] = frame.last
        return b"".join(orjson.dumps(line) + b"\n" for line in lines)

    def _lines(self, chunks: list[bytes]) -> list[Json]:
        self._read(chunks)
        piece = self._reader.take()
        return [self._shape.line(piece)] if piece else []

    def _read(self, chunks: list[bytes]) -> None:
        self._reader.read(chunks)
        if self._timing and self._reader.has_begun:
            self._timing.came()

    def _end(self) -> list[Json]:
        """Returns the last lines; of a stream that was ended early, an error."""
        if not self._reader.reason:
            return [orjson.loads(errors.body(Cancelled()))]
        calls = self._reader.calls
        before = [self._shape.line(Piece(), calls)] if calls else []
        return [*before, self._shape.line(Piece(), **self._figures())]

    # Whole answers -------------------------------------------------------------------------------
    def hear(self, events: list[bytes]) -> None:
        """Read a part of an answer that is sent whole."""
        self._read(events)

    def whole(self) -> bytes:
        """Returns the answer in one piece. Raises Cancelled if it was ended early."""
        if not self._reader.reason:
            raise Cancelled
        piece = self._reader.take() or Piece()
        return orjson.dumps(self._shape.line(piece, self._reader.calls, **self._figures()))

    def _figures(self) -> Json:
        reason = DONE_REASONS.get(self._reader.reason, "stop")
        usage = self._reader.usage
        counts = {
            "prompt_eval_count": count(usage, "prompt_tokens"),
            "eval_count": count(usage, "completion_tokens"),
        }
        durations = self._timing.durations() if self._timing else {}
        known = {name: number for name, number in counts.items() if number is not None}
        return {"done": True, "done_reason": reason, **durations, **known}
