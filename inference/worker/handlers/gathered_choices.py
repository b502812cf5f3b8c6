"""The answers of an order with several choices, from one question or from many."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from inference.codec import pieces
from inference.codec.answer_translator import count
from inference.codec.events import text_of
from inference.engines.base import AnswerBroken
from inference.engines.choices import Question
from inference.order import Order

Json = dict[str, Any]
_THOUGHTS = ("reasoning_content", "reasoning")


@dataclass(eq=False, slots=True)
class Reply:
    """The answers to one question. `pieces` counts events with text, about one for each token."""

    question: Question
    began: bool = False
    asked_at: float | None = None  # of a whole answer: None before, and after a refusal
    pieces: int = 0
    length: int = 0  # bytes of text
    texts: list[str] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)  # finish reasons by the choice's number
    usage: Json = field(default_factory=dict)

    def has(self, number: Any) -> bool:
        first = self.question.first
        return isinstance(number, int) and first <= number < first + self.question.count

    def number(self, choice: Json) -> None:
        """Turn the engine's index into the number among all choices. Raises AnswerBroken."""
        index = choice.get("index") or 0
        if not isinstance(index, int) or not 0 <= index < self.question.count:
            raise AnswerBroken("the engine sent an answer that was not asked for")
        choice["index"] = self.question.first + index

    def count(self, choice: Json) -> None:
        """Count a numbered choice, or a piece of one."""
        delta = choice.get("delta") or choice.get("message")
        message = delta if isinstance(delta, dict) else {}
        words = choice.get("text"), text_of(message.get("content")), *map(message.get, _THOUGHTS)
        text = "".join(word for word in words if isinstance(word, str))
        if text:
            self.texts.append(text)
        if text or message.get("tool_calls"):
            self.pieces += 1
            self.length += len(text.encode()) or len(orjson.dumps(message))
        if reason := choice.get("finish_reason"):
            self.reasons[choice["index"]] = str(reason)

    @property
    def is_whole(self) -> bool:
        return len(self.reasons) == self.question.count

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def cached_tokens(self) -> int:
        return count(self.usage.get("prompt_tokens_details"), "cached_tokens") or 0


class Gathered:
    """All answers, under the names that clients know.

    `held` are the events that wait for the record, `choices` those of whole answers.
    """

    def __init__(self, order: Order) -> None:
        self._names = {"id": order.public_id, "model": order.public_model}
        self._head: Json = {}  # of the first answer or event
        self.held: list[bytes] = []
        self.choices: list[Json] = []
        self.length = 0  # bytes of whole answers

    def note(self, answer: Json) -> list[Json]:
        """Returns the choices of an answer or a chunk, and keeps the first one's other fields."""
        choices = answer.pop("choices", None)
        if not isinstance(choices, list) or not all(isinstance(each, dict) for each in choices):
            return []
        if not self._head:
            self._head = {**answer, **self._names}
        return choices

    def event(self, chunk: Json, choice: Json) -> bytes:
        """Returns an event with one choice; all have the time of the first one."""
        made = {"created": self._head["created"]} if "created" in self._head else {}
        return _event({**chunk, **self._names, **made, "choices": [choice]})

    def usage_event(self, replies: Iterable[Reply]) -> bytes:
        return _event({**self._head, "choices": [], "usage": _usage(replies)})

    def whole(self, replies: Iterable[Reply]) -> bytes:
        """Returns all choices in one body; b"" without any."""
        if not self.choices:
            return b""
        choices = sorted(self.choices, key=lambda choice: int(choice["index"]))
        return orjson.dumps({**self._head, "choices": choices, "usage": _usage(replies)})

    def joined(self, events: list[bytes], replies: Iterable[Reply]) -> bytes:
        """Returns the events of a stream as one body; b"" without any."""
        all_events = [*events, *self.held]
        return pieces.as_answer(all_events, _usage(replies)) if all_events else b""


def finish_reason_of(replies: Iterable[Reply]) -> str:
    """Returns the finish reason for the record: the first choice's."""
    return next((reason for each in replies for reason in each.reasons.values()), "stop")


def _event(chunk: Json) -> bytes:
    return b"data: " + orjson.dumps(chunk)


def _usage(replies: Iterable[Reply]) -> Json:
    """Returns the sum of what the engine counted for each question."""
    total: Json = {}
    for reply in replies:
        total = _summed(total, reply.usage)
    return total


def _summed(one: Json, other: Json) -> Json:
    """Returns the sums. Figures that count no tokens are left out: JSON has no room for some."""
    both = dict(one)
    for name, value in other.items():
        before = both.get(name)
        if isinstance(value, dict):
            both[name] = _summed(before if isinstance(before, dict) else {}, value)
        elif (figure := count(other, name)) is not None:
            both[name] = figure + (before if type(before) is int else 0)
    return both
