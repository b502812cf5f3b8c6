"""The parts of an answer's stream, one after the other: thoughts, texts, refusals and calls.

Engines may write several calls at once, or a text between two pieces of a call. Front ends give out
one part after the other, so a part is held back until the call before it is whole.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from inference.codec.chunks import Delta, Function, ToolCall
from inference.codec.tool_calls import NumberedCall, NumberedCalls

THOUGHT, TEXT, REFUSAL, CALL = "thought", "text", "refusal", "call"


class Piece(NamedTuple):
    """A piece of a part. `call` is the piece of a call, with the number of the call as `index`."""

    kind: str
    text: str = ""
    logprobs: Any = None
    call: ToolCall | None = None


@dataclass(slots=True)
class _Part:
    kind: str
    call: NumberedCall | None = None
    held: list[Piece] = field(default_factory=list)
    is_over: bool = False  # a later part has been given out

    def may_end(self) -> bool:
        return self.call is None or self.call.is_whole

    def release(self) -> list[Piece]:
        pieces, self.held = self.held, []
        return pieces


class PartsInTurn:
    """Gives out the pieces of one part after those of another, in the order of their beginnings."""

    def __init__(self) -> None:
        self._calls = NumberedCalls()
        self._of_calls: list[_Part] = []  # by the number of the call
        self._line = deque[_Part]()  # the one in turn, and those that wait behind it

    @property
    def calls(self) -> list[NumberedCall]:
        """Returns the calls so far, in the order of their beginnings."""
        return self._calls.all

    def take(self, delta: Delta, logprobs: Any = None) -> list[Piece]:
        """Returns the pieces to give out, now that this delta has come."""
        pieces = list[Piece]()
        thought = delta.reasoning_content or delta.reasoning
        if isinstance(thought, str) and thought:
            pieces += self._take_text(Piece(THOUGHT, thought))
        if text := delta.text:
            pieces += self._take_text(Piece(TEXT, text, logprobs))
        if delta.refusal:
            pieces += self._take_text(Piece(REFUSAL, delta.refusal))
        for call in delta.tool_calls or ():
            pieces += self._take_call(call)
        return pieces

    def rest(self) -> list[Piece]:
        """Returns what has been held back: there will be no more pieces."""
        return [piece for part in self._line for piece in part.release()]

    def _take_text(self, piece: Piece) -> list[Piece]:
        last = self._line[-1] if self._line else None
        if last is None or last.kind != piece.kind:
            self._line.append(last := _Part(piece.kind))
        elif len(self._line) == 1:
            return [piece]
        last.held.append(piece)
        return self._given_out()

    def _take_call(self, piece: ToolCall) -> list[Piece]:
        call = self._calls.of(piece)
        if call.number == len(self._of_calls):
            self._of_calls.append(_Part(CALL, call))
            self._line.append(self._of_calls[-1])
        part = self._of_calls[call.number]
        if part.is_over:
            return []  # it was whole
        call.arguments.append((piece.function or Function()).text)
        numbered = msgspec.structs.replace(piece, index=call.number)
        part.held.append(Piece(CALL, call=numbered))
        return self._given_out()

    def _given_out(self) -> list[Piece]:
        """Returns what the part in turn has, and those behind it as far as parts are whole."""
        pieces = self._line[0].release()
        while len(self._line) > 1 and self._line[0].may_end():
            self._line.popleft().is_over = True
            pieces += self._line[0].release()
        return pieces
