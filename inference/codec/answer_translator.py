"""Translates an engine's answer into the form for readers and the record.

OpenAI's JSON is the one inner form. An engine's text passes unchanged as far as possible: its names
are replaced, and figures of a prompt cache that tenants share are removed.
"""

import re
from typing import Any

import msgspec
import orjson

from inference.codec import events
from inference.codec.events import DONE

_SHOWN = {"prompt_tokens", "completion_tokens", "total_tokens", "completion_tokens_details"}
_HAS_FIGURES = re.compile(rb'"(?:usage|timings)":\s*\{')


class Tail(msgspec.Struct, frozen=True):
    """The end of a stream, from one event; `events` is the reader's part of it."""

    events: tuple[bytes, ...]
    finish_reason: str = ""
    usage: dict[str, Any] | None = None


class WholeAnswer(msgspec.Struct, frozen=True):
    """An answer in one piece."""

    body: bytes
    finish_reason: str
    usage: dict[str, Any]


class AnswerTranslator:
    """Translates an engine's answer into the client's: id, model, usage.

    `public_id` and `model` replace the engine's. `hides_cache` removes figures of a prompt cache
    that tenants share. `include_usage` sends a stream's usage to the client.
    """

    def __init__(
        self, public_id: str, model: str, *, hides_cache: bool, include_usage: bool
    ) -> None:
        self._own_names = {"id": public_id, "model": model}
        self._hides_cache, self._include_usage = hides_cache, include_usage
        self._names: list[tuple[bytes, bytes]] = []  # the engine's fields, and their replacements
        self._model = b"{}"  # with the engine's name for it

    @property
    def engines_model(self) -> str:
        """Returns the engine's name of the model; "" if it sent none."""
        try:
            name = orjson.loads(self._model).get("model")
        except ValueError:
            return ""
        return name[:200] if isinstance(name, str) else ""

    # Streams -------------------------------------------------------------------------------------
    def learn(self, event: bytes) -> None:
        """Learn the engine's names from the first event of a stream."""
        if field := events.name_field(event, "id"):
            self._names.append((field, b'"id":%b' % orjson.dumps(self._own_names["id"])))
        if field := events.name_field(event, "model"):
            self._model = b"{%b}" % field
            self._names.append((field, b'"model":%b' % orjson.dumps(self._own_names["model"])))

    def piece(self, event: bytes) -> bytes:
        """Returns the event without hidden figures: some servers send usage with every piece."""
        if not self._hides_cache or not may_have_figures(event):
            return event
        chunk = events.parsed(event)
        return self._written(chunk) if take_out(chunk) else event

    def tail(self, event: bytes, tokens_before: int = 0) -> Tail:
        """Translates an event from the finish reason on.

        `tokens_before` of the answer were sent to the engine as prompt, to continue after them.
        """
        chunk = events.parsed(event)
        hidden = self._hides_cache and take_out(chunk)
        moved = tokens_before and _moved(chunk.get("usage"), tokens_before)
        if hidden or moved:
            event = self._written(chunk)
        finish_reason, usage = events.finish_reason(chunk), chunk.get("usage")
        if not usage:
            return Tail((event,), finish_reason)
        shown: tuple[bytes, ...] = self._apart(chunk) if chunk.get("choices") else (event,)
        if not self._include_usage:
            shown = shown[:-1]
        return Tail(shown, finish_reason, usage if isinstance(usage, dict) else {})

    def counted(self, tail: list[bytes], usage: dict[str, Any]) -> list[bytes]:
        """Returns the tail of a stream with this usage in place of the engine's."""
        chunks = [(event, events.parsed(event)) for event in tail]
        others = [event for event, chunk in chunks if chunk.get("choices") or "usage" not in chunk]
        own = {**(chunks[-1][1] if chunks else {}), "choices": [], "usage": usage}
        return [*others, self._written(own)]

    def _apart(self, chunk: dict[str, Any]) -> tuple[bytes, bytes]:
        """Returns usage in a chunk of its own, as OpenAI's clients expect it."""
        rest = {name: value for name, value in chunk.items() if name != "usage"}
        return self._written(rest), self._written({**chunk, "choices": []})

    def blob(self, pieces: list[bytes], *, ends: bool = False) -> bytes:
        """Returns events as readers get them; the last ones with [DONE]."""
        text = b"\n\n".join([*pieces, DONE] if ends else pieces) + b"\n\n"
        for field, replacement in self._names:
            text = text.replace(field, replacement)
        return text

    # Whole answers -------------------------------------------------------------------------------
    def whole(self, body: bytes) -> WholeAnswer:
        """Translates a whole answer. Raises ValueError if it is none."""
        try:
            answer = orjson.loads(body)
            finish_reason = str(answer["choices"][0].get("finish_reason") or "stop")
        except (LookupError, TypeError, AttributeError):
            raise ValueError("no answer in OpenAI's form") from None
        if self._hides_cache:
            take_out(answer)
        if isinstance(model := answer.get("model"), str):
            self._model = orjson.dumps({"model": model[:200]})
        usage = answer["usage"] if isinstance(answer.get("usage"), dict) else {}
        return WholeAnswer(orjson.dumps(answer | self._own_names), finish_reason, usage)

    def _written(self, chunk: dict[str, Any]) -> bytes:
        """Returns a chunk with the readers' names: `blob` replaces only an engine's own text."""
        names = {name: value for name, value in self._own_names.items() if name in chunk}
        return b"data: " + orjson.dumps(chunk | names)


def recounted(answer: bytes, usage: dict[str, Any]) -> bytes:
    """Returns a whole answer with this usage in place of the engine's."""
    return orjson.dumps({**orjson.loads(answer), "usage": usage})


def _moved(usage: Any, tokens: int) -> bool:
    """Move tokens from the prompt to the answer. Returns whether there were such figures."""
    prompt, answer = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    if prompt is None or answer is None:
        return False
    usage |= {"prompt_tokens": max(0, prompt - tokens), "completion_tokens": answer + tokens}
    return True


def count(usage: Any, name: str) -> int | None:
    """Returns a number of tokens; None if the engine sent none, or an invalid one."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value < 2**31 else None


def may_have_figures(event: bytes) -> bool:
    """Returns whether a piece of a stream is worth parsing: most have only text."""
    mentions = b'"usage"' in event or b'"timings"' in event
    return mentions and _HAS_FIGURES.search(event) is not None


def take_out(answer: dict[str, Any]) -> bool:
    """Remove them from an answer or a chunk. Returns whether there were any."""
    removed = answer.pop("timings", None) is not None  # llama.cpp's: cache_n, prompt_n, prompt_ms
    choices = answer.get("choices")
    for holder in (answer, *(choices if isinstance(choices, list) else ())):
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            for name in usage.keys() - _SHOWN:
                del usage[name]
                removed = True
    return removed
