"""The pieces of a stream's tool calls: which call each belongs to, and one call after the other."""

from dataclasses import dataclass, field

import msgspec
import orjson

from inference.codec.chunks import Function, ToolCall

Named = tuple[str, str]  # the id of a call and its name; "" for what is missing


@dataclass(slots=True)
class NumberedCall:
    number: int
    index: int  # the engine's number; 0 if it gave none
    identity: str  # the engine's; "" if it gave none
    name: str
    arguments: list[str] = field(default_factory=list)
    held: list[ToolCall] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Returns whether its arguments are an object, to which nothing can be added."""
        text = "".join(self.arguments)
        try:
            return text.rstrip().endswith("}") and isinstance(orjson.loads(text), dict)
        except ValueError:
            return False


class NumberedCalls:
    """Numbers the calls of a stream in the order in which they begin.

    Engines number them, too. Some give each call an id and the number 0, or no number at all.
    """

    def __init__(self) -> None:
        self._latest: dict[int | None, NumberedCall] = {}  # by the engine's number
        self.all: list[NumberedCall] = []

    def of(self, piece: ToolCall) -> NumberedCall:
        """Returns the call of a piece."""
        identity, name = piece.id or "", (piece.function or Function()).name or ""
        call = self._latest.get(piece.index)
        named = (identity, name)
        if call is None or is_another(piece.index, (call.identity, call.name), named):
            call = NumberedCall(len(self.all), piece.index or 0, identity, name)
            self._latest[piece.index] = call
            self.all.append(call)
        call.identity, call.name = call.identity or identity, call.name or name
        return call


def is_another(index: int | None, known: Named, piece: Named) -> bool:
    """Returns whether a piece begins another call than the known one of its number."""
    if known[0] and piece[0]:
        return known[0] != piece[0]
    return index is None and bool(known[1] and piece[1])


class CallsInTurn:
    """Gives the pieces of one call after those of another, numbered anew.

    A piece of a further call is held back until the call before it is whole: some engines write
    several calls at once, and front ends give out one block after the other.
    """

    def __init__(self) -> None:
        self._calls = NumberedCalls()
        self._now = 0  # number of the call that is given out

    def take(self, piece: ToolCall) -> list[ToolCall]:
        """Returns the pieces to give out, now that this one has come."""
        call = self._calls.of(piece)
        if call.number < self._now:
            return []  # it was whole
        call.arguments.append((piece.function or Function()).text)
        call.held.append(msgspec.structs.replace(piece, index=call.number))
        if call.number > self._now and len(call.arguments) > 1:
            return []  # the call before it is no further
        return self._given_out()

    def _given_out(self) -> list[ToolCall]:
        """Returns what the call in turn has, and those behind it as far as calls are whole."""
        every = self._calls.all
        pieces = _released(every[self._now])
        while self._now + 1 < len(every) and every[self._now].is_whole:
            self._now += 1
            pieces += _released(every[self._now])
        return pieces

    def rest(self) -> list[ToolCall]:
        """Returns what has been held back: there will be no more pieces."""
        if self._now + 1 >= len(self._calls.all):
            return []
        behind = self._calls.all[self._now + 1 :]
        self._now = len(self._calls.all) - 1
        return [piece for call in behind for piece in _released(call)]


def _released(call: NumberedCall) -> list[ToolCall]:
    pieces, call.held = call.held, []
    return pieces
