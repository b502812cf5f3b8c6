"""An engine's answer to one order, in the form in which it reaches readers and the record.

OpenAI's JSON is the one inner form. What an engine wrote goes through untouched as far as it can:
its names become ours, and what it says of a prompt cache that tenants share is taken out.
"""

from typing import Any

import msgspec
import orjson

from inference.codec import cache_figures, events
from inference.codec.events import DONE


class Tail(msgspec.Struct, frozen=True):
    """The end of a stream, read from one event; `events` is what the reader gets of it."""

    events: tuple[bytes, ...]
    finish_reason: str = ""
    usage: dict[str, Any] | None = None


class Whole(msgspec.Struct, frozen=True):
    """An answer that comes in one piece."""

    body: bytes
    finish_reason: str
    usage: dict[str, Any]


class Codec:
    """`public_id` and `model` are what readers see; see cache_figures.py for `hides_cache`."""

    def __init__(self, public_id: str, model: str, *, hides_cache: bool, gives_usage: bool) -> None:
        self._ours = {"id": public_id, "model": model}
        self._hides_cache, self._gives_usage = hides_cache, gives_usage
        self._names: list[tuple[bytes, bytes]] = []  # theirs, ours
        self._model = b"{}"  # as the engine named it

    @property
    def engines_model(self) -> str:
        """As the engine has named it; "" where it has not."""
        try:
            name = orjson.loads(self._model).get("model")
        except ValueError:
            return ""
        return name[:200] if isinstance(name, str) else ""

    # Streams -------------------------------------------------------------------------------------
    def learn(self, event: bytes) -> None:
        """The engine's names, from the first event of a stream."""
        if theirs := events.id_field(event):
            self._names.append((theirs, b'"id":%b' % orjson.dumps(self._ours["id"])))
        if theirs := events.model_field(event):
            self._model = b"{%b}" % theirs
            self._names.append((theirs, b'"model":%b' % orjson.dumps(self._ours["model"])))

    def piece(self, event: bytes) -> bytes:
        """Some servers send usage with every piece."""
        if not self._hides_cache or not cache_figures.may_tell(event):
            return event
        chunk = events.parsed(event)
        return self._written(chunk) if cache_figures.take_out(chunk) else event

    def tail(self, event: bytes, tokens_before: int = 0) -> Tail:
        """From the finish reason on.

        `tokens_before`: of the answer, that the engine was given to go on with, as prompt.
        """
        chunk = events.parsed(event)
        hidden = self._hides_cache and cache_figures.take_out(chunk)
        moved = tokens_before and _moved(chunk.get("usage"), tokens_before)
        if hidden or moved:
            event = self._written(chunk)
        finish_reason, usage = events.finish_reason(chunk), chunk.get("usage")
        if not usage:
            return Tail((event,), finish_reason)
        shown: tuple[bytes, ...] = self._apart(chunk) if chunk.get("choices") else (event,)
        if not self._gives_usage:
            shown = shown[:-1]
        return Tail(shown, finish_reason, usage if isinstance(usage, dict) else {})

    def _apart(self, chunk: dict[str, Any]) -> tuple[bytes, bytes]:
        """Usage stands in a chunk of its own, as clients of OpenAI's expect it."""
        rest = {name: value for name, value in chunk.items() if name != "usage"}
        return self._written(rest), self._written({**chunk, "choices": []})

    def blob(self, given: list[bytes], *, ends: bool = False) -> bytes:
        """Events as they go to readers; the last ones with [DONE]."""
        text = b"\n\n".join([*given, DONE] if ends else given) + b"\n\n"
        for theirs, ours in self._names:
            text = text.replace(theirs, ours)
        return text

    # Whole answers -------------------------------------------------------------------------------
    def whole(self, body: bytes) -> Whole:
        """Raises ValueError for what is no answer."""
        try:
            answer = orjson.loads(body)
            finish_reason = str(answer["choices"][0].get("finish_reason") or "stop")
        except (LookupError, TypeError, AttributeError):
            raise ValueError("no answer in OpenAI's form") from None
        if self._hides_cache:
            cache_figures.take_out(answer)
        if isinstance(model := answer.get("model"), str):
            self._model = orjson.dumps({"model": model[:200]})
        usage = answer["usage"] if isinstance(answer.get("usage"), dict) else {}
        return Whole(orjson.dumps(answer | self._ours), finish_reason, usage)

    def _written(self, chunk: dict[str, Any]) -> bytes:
        """With our names: `blob` finds theirs only as the engine had written them."""
        ours = {name: value for name, value in self._ours.items() if name in chunk}
        return b"data: " + orjson.dumps(chunk | ours)


def _moved(usage: Any, tokens: int) -> bool:
    """From the prompt to the answer; whether there were such figures."""
    prompt, answer = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    if prompt is None or answer is None:
        return False
    usage |= {"prompt_tokens": max(0, prompt - tokens), "completion_tokens": answer + tokens}
    return True


def count(usage: Any, name: str) -> int | None:
    """A number of tokens; None when the engine sent none, or something else."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value < 2**31 else None
