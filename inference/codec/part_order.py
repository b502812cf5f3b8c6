"""The order of the parts of an answer that was streamed, for its record.

A record has all thoughts in one text, all texts in another, and the calls behind them. Where they
came in another order, the answer also has the order, and its events come in it again: stored
responses have the same items as their stream, under the same ids.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from inference.codec.chunks import decoded
from inference.codec.parts import CALL, REFUSAL, TEXT, THOUGHT, PartsInTurn, Piece

Json = dict[str, Any]
FIELD = "forebay_order"  # of the answer; clients never get it
_RANKS = {"reasoning_content": 0, "reasoning": 0, "content": 1, "refusal": 2, "tool_calls": 3}
_KINDS = (THOUGHT, TEXT, REFUSAL, CALL)  # in the order of a record
_FIELDS = {THOUGHT: ("reasoning_content", "reasoning"), TEXT: ("content",), REFUSAL: ("refusal",)}


class PartSize(NamedTuple):
    """A part: characters of its text and its log probabilities, or the place of a call."""

    kind: str
    size: int
    logprobs: int = 0


class OrderWatch:
    """Notes whether the parts of a stream may come in another order than a record's."""

    def __init__(self) -> None:
        self._last = (0, 0)
        self.is_other = False

    def see(self, choice: Json) -> None:
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        for name, rank in _RANKS.items():
            if value := delta.get(name):
                key = rank, _first_index(value) if name == "tool_calls" else 0
                self.is_other = self.is_other or key < self._last
                self._last = key


def _first_index(calls: Any) -> int:
    first = calls[0] if isinstance(calls, list) else None
    index = first.get("index") if isinstance(first, dict) else None
    return index if isinstance(index, int) else 0


def order_of(events: list[bytes], choice: Json) -> list[PartSize] | None:
    """Returns the order of a stream with one choice; None if it is a record's, or unclear."""
    parts, pieces = PartsInTurn(), list[Piece]()
    for chunk in decoded(events):
        if chunk.choices and (delta := chunk.choices[0].delta):
            pieces += parts.take(delta, chunk.choices[0].logprobs)
    places, order = _places(parts), list[PartSize]()
    for piece in [*pieces, *parts.rest()]:
        _add(order, piece, places)
    keys = [(_KINDS.index(part.kind), part.size if part.kind == CALL else 0) for part in order]
    is_other = any(key >= later for key, later in pairwise(keys))
    return _with_all_logprobs(order, choice) if is_other and _fits(order, choice) else None


def _places(parts: PartsInTurn) -> dict[int, int]:
    """Returns the place of each call in a record, which sorts calls by the engine's number."""
    in_order = sorted(parts.calls, key=lambda call: call.index)
    return {call.number: place for place, call in enumerate(in_order)}


def _add(order: list[PartSize], piece: Piece, places: dict[int, int]) -> None:
    if piece.call:
        part = PartSize(CALL, places[piece.call.index or 0])
        if part not in order[-1:]:
            order.append(part)
        return
    tokens = _tokens(piece.logprobs)
    size = len(piece.text)
    if order and order[-1].kind == piece.kind:
        last = order.pop()
        size, tokens = size + last.size, tokens + last.logprobs
    order.append(PartSize(piece.kind, size, tokens))


def _tokens(logprobs: Any) -> int:
    listed = logprobs.get("content") if isinstance(logprobs, dict) else None
    return len(listed) if isinstance(listed, list) else 0


def _fits(order: list[PartSize], choice: Json) -> bool:
    """Returns whether the parts are all that the record has."""
    message = choice.get("message")
    if not isinstance(message, dict):
        return False
    texts = all(
        len(_text(message, kind)) == sum(part.size for part in order if part.kind == kind)
        for kind in _FIELDS
    )
    return texts and len(message.get("tool_calls") or ()) == sum(p.kind == CALL for p in order)


def _with_all_logprobs(order: list[PartSize], choice: Json) -> list[PartSize]:
    """Returns the order; the first text has all log probabilities if others had some, too."""
    total = _tokens(choice.get("logprobs"))
    if total == sum(part.logprobs for part in order):
        return order
    first = next((n for n, part in enumerate(order) if part.kind == TEXT), 0)
    return [part._replace(logprobs=total * (n == first)) for n, part in enumerate(order)]


def _text(message: Json, kind: str) -> str:
    texts = (message.get(name) for name in _FIELDS[kind])
    return next((text for text in texts if isinstance(text, str) and text), "")


def choices_in(order: list[Any], choice: Json) -> Iterator[Json]:
    """Yields a choice's parts in this order, each as a choice with a part of the message."""
    message = choice["message"]
    rest = {name: message[name] for name in message if name not in _RANKS}
    at, tokens = dict.fromkeys(_FIELDS, 0), 0
    for part in (PartSize(*each) for each in order):
        if part.kind == CALL:
            own: Json = {"tool_calls": [message["tool_calls"][part.size]]}
        else:
            name = next(name for name in _FIELDS[part.kind] if message.get(name))
            own = {name: message[name][at[part.kind] : at[part.kind] + part.size]}
            at[part.kind] += part.size
        some = {**choice, "message": {**rest, **own}}
        if _tokens(choice.get("logprobs")):
            listed = choice["logprobs"]["content"][tokens : tokens + part.logprobs]
            some["logprobs"] = {**choice["logprobs"], "content": listed} if listed else None
            tokens += part.logprobs
        yield some
        rest = {}
