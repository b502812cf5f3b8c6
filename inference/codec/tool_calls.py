"""The pieces of a stream's tool calls: which call each belongs to, and whether a call is whole."""

from dataclasses import dataclass, field

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

    @property
    def is_whole(self) -> bool:
        """Returns whether its arguments are an object, to which nothing can be added."""
        written = (piece for piece in reversed(self.arguments) if not piece.isspace() and piece)
        if not next(written, "").rstrip().endswith("}"):
            return False  # most pieces: the text is not joined for them
        try:
            return isinstance(orjson.loads("".join(self.arguments)), dict)
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
