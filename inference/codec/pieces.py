"""A stream's events as one answer in OpenAI's form, and such an answer as the events of a stream.

So a stream can be kept whole, with its tool calls and logprobs, and be sent again.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from inference.codec.events import parsed

Json = dict[str, Any]
_TOLD_ONCE = ("role", "id", "type", "index", "name", "finish_reason")  # never in pieces
_WHOLE, _CHUNK = "chat.completion", "chat.completion.chunk"


def as_answer(events: Iterable[bytes], usage: Json) -> bytes:
    answer: Json = {}
    choices: dict[int, Json] = {}
    for chunk in map(parsed, events):
        for name, value in chunk.items():
            if name not in ("choices", "usage"):
                answer.setdefault(name, value)
        for choice in chunk.get("choices") or ():
            number = choice.get("index") or 0
            choices[number] = _joined(choices.get(number, {}), _as_message(choice))
    if answer.get("object") == _CHUNK:
        answer["object"] = _WHOLE
    return orjson.dumps(
        {**answer, "choices": [choices[n] for n in sorted(choices)], "usage": usage}
    )


def of_answer(answer: bytes, *, gives_usage: bool) -> Iterator[bytes]:
    """Of one that `as_answer` made."""
    whole = orjson.loads(answer)
    head = {name: whole[name] for name in whole if name not in ("choices", "usage")}
    if head.get("object") == _WHOLE:
        head["object"] = _CHUNK
    for choice in whole["choices"]:
        said = _as_delta(choice)
        yield _event(head, [{**said, "finish_reason": None}])
        nothing: Json = {"delta": {}} if "delta" in said else {"text": ""}
        end = {"index": said.get("index", 0), **nothing}
        yield _event(head, [{**end, "finish_reason": choice.get("finish_reason")}])
    if gives_usage:
        yield _event({**head, "usage": whole["usage"]}, [])


def _event(head: Json, choices: list[Json]) -> bytes:
    return b"data: " + orjson.dumps({**head, "choices": choices})


def _as_message(choice: Json) -> Json:
    return {"message" if name == "delta" else name: value for name, value in choice.items()}


def _as_delta(choice: Json) -> Json:
    return {"delta" if name == "message" else name: value for name, value in choice.items()}


def _joined(before: Any, more: Any, name: str = "") -> Any:
    if more is None or before is None:
        return before if more is None else more
    if isinstance(before, dict) and isinstance(more, dict):
        return before | {key: _joined(before.get(key), more[key], key) for key in more}
    if isinstance(before, list) and isinstance(more, list):
        return _joined_calls(before, more) if name == "tool_calls" else before + more
    if isinstance(before, str) and isinstance(more, str) and name not in _TOLD_ONCE:
        return before + more
    return before if name in _TOLD_ONCE and before != "" else more


def _joined_calls(before: list[Json], more: list[Json]) -> list[Json]:
    """Pieces of a tool call have its number."""
    calls = {call.get("index", n): call for n, call in enumerate(before)}
    for call in more:
        number = call.get("index", len(calls))
        calls[number] = _joined(calls.get(number), call)
    return [calls[number] for number in sorted(calls)]
