"""Reads the chunks of an answer's stream: texts, calls, the end and the usage."""

from typing import Any, NamedTuple

import orjson

from inference.codec.chunks import Choice, Delta, Function, decoded
from inference.codec.tool_calls import NumberedCall, NumberedCalls
from inference.validation.schemas import DEEPEST, deeper

Json = dict[str, Any]
INVALID_ARGUMENTS = "INVALID_JSON"  # the name of arguments that are no object


class Piece(NamedTuple):
    """The texts of some chunks, and the log probabilities of their tokens."""

    text: str = ""
    thinking: str = ""
    logprobs: tuple[Any, ...] = ()


class ChunkReader:
    """Reads a stream. `reason` is "" until its end, `usage` None until it comes.

    `has_begun` is set with the first word, shown or not, or call.
    """

    def __init__(self, *, shows_thinking: bool) -> None:
        self.reason, self.has_begun = "", False
        self.usage: Any = None
        self._shows_thinking = shows_thinking
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._logprobs: list[Any] = []
        self._calls = NumberedCalls()

    def read(self, events: list[bytes]) -> None:
        for chunk in decoded(events):
            self.usage = chunk.usage or self.usage
            if choice := chunk.choice:
                self._read_choice(choice)

    def take(self) -> Piece | None:
        """Returns what has come since the last time; None if it was no text."""
        piece = Piece("".join(self._texts), "".join(self._thoughts), tuple(self._logprobs))
        for pieces in (self._texts, self._thoughts, self._logprobs):
            pieces.clear()
        return piece if any(piece) else None

    @property
    def calls(self) -> list[Json]:
        """Returns the calls of tools. They are whole at the end."""
        in_order = sorted(self._calls.all, key=lambda call: call.index)
        return [_written(call, number) for number, call in enumerate(in_order)]

    def _read_choice(self, choice: Choice) -> None:
        if choice.text:
            self._add(self._texts, choice.text)
        if choice.delta:
            self._read_delta(choice.delta)
        if isinstance(choice.logprobs, dict):
            listed = choice.logprobs.get("content")
            self._logprobs += listed if isinstance(listed, list) else ()
        if choice.finish_reason:
            self.reason = choice.finish_reason

    def _add(self, texts: list[str], text: str) -> None:
        self.has_begun = True
        texts.append(text)

    def _read_delta(self, delta: Delta) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if isinstance(thought, str) and thought:
            self._add(self._thoughts if self._shows_thinking else [], thought)
        if text := delta.text or delta.refusal:
            self._add(self._texts, text)
        for piece in delta.tool_calls or ():
            self.has_begun = True
            call = self._calls.of(piece)
            call.arguments.append((piece.function or Function()).text)


def _written(call: NumberedCall, number: int) -> Json:
    text = "".join(call.arguments)
    function = {"index": number, "name": call.name, "arguments": _object(text)}
    return {"id": call.identity or f"call_{number + 1}", "function": function}


def _object(arguments: str) -> Json:
    """Returns the arguments: an object, also where the model wrote something else.

    An object that is too deep for a request could be neither written nor sent back.
    """
    try:
        parsed = orjson.loads(arguments or "{}")
    except ValueError:
        parsed = None
    fits = isinstance(parsed, dict) and not deeper(parsed, DEEPEST)
    return parsed if fits else {INVALID_ARGUMENTS: arguments}
