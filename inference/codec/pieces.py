"""Turns a stream's events into one answer in OpenAI's form, and such an answer into events.

So a stream can be stored whole, with its tool calls and logprobs, and be sent again: as a stream,
or as another request's own.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from inference.codec import part_order
from inference.codec.events import DONE, parsed
from inference.codec.tool_calls import is_another

Json = dict[str, Any]
_NEVER_SPLIT = ("role", "id", "type", "index", "name", "finish_reason")  # complete in one piece
_WHOLE, _CHUNK = "chat.completion", "chat.completion.chunk"


class _Text(list[str]):
    """A text in pieces until the end: joining each would copy a long text for each token."""


def as_answer(events: Iterable[bytes], usage: Json) -> bytes:
    """Returns the answer. Malformed choices and tool calls are left out."""
    return _as_answer(events, usage, part_order.OrderWatch())


def as_record(events: list[bytes], usage: Json) -> bytes:
    """Returns the answer with the order of its parts, where that is not the usual one."""
    watch = part_order.OrderWatch()
    answer = _as_answer(events, usage, watch)
    if not watch.is_other:
        return answer
    whole = orjson.loads(answer)
    choices = whole["choices"]
    order = part_order.order_of(events, choices[0]) if len(choices) == 1 else None
    if order is None:
        return answer
    return orjson.dumps({**whole, part_order.FIELD: [[*part] for part in order]})


def has_order(answer: Json) -> bool:
    """Returns whether the parts of a recorded answer came in an order of their own."""
    return part_order.FIELD in answer


def _as_answer(events: Iterable[bytes], usage: Json, watch: part_order.OrderWatch) -> bytes:
    answer: Json = {}
    choices: dict[int, Json] = {}
    for chunk in map(parsed, events):
        for name, value in chunk.items():
            if name not in ("choices", "usage"):
                answer.setdefault(name, value)
        for choice in _objects(chunk.get("choices")):
            number = _number(choice, 0)
            watch.see(choice)
            choices[number] = _joined(choices.get(number, {}), _renamed(choice, "delta", "message"))
    if answer.get("object") == _CHUNK:
        answer["object"] = _WHOLE
    whole = {**answer, "choices": [choices[n] for n in sorted(choices)], "usage": usage}
    return orjson.dumps(whole, default="".join, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def of_answer(answer: bytes, *, include_usage: bool) -> Iterator[bytes]:
    """Yields the events of an answer that `as_answer` made."""
    whole = orjson.loads(answer)
    order = whole.pop(part_order.FIELD, None)
    head = {name: whole[name] for name in whole if name not in ("choices", "usage")}
    if head.get("object") == _WHOLE:
        head["object"] = _CHUNK
    for choice in whole["choices"]:
        if isinstance(message := choice.get("message"), dict):
            _number_calls(message)
        for part in part_order.choices_in(order, choice) if order else (choice,):
            delta = _renamed(part, "message", "delta")
            yield _event(head, [{**delta, "finish_reason": None}])
        nothing: Json = {"delta": {}} if "delta" in delta else {"text": ""}
        end = {"index": delta.get("index", 0), **nothing}
        yield _event(head, [{**end, "finish_reason": choice.get("finish_reason") or "stop"}])
    if include_usage:
        yield _event({**head, "usage": whole.get("usage")}, [])


def _number_calls(message: Json) -> None:
    """Number the calls of tools, as clients join their pieces: a whole answer has no numbers."""
    for number, call in enumerate(_objects(message.get("tool_calls"))):
        call["index"] = number


def _event(head: Json, choices: list[Json]) -> bytes:
    return b"data: " + orjson.dumps({**head, "choices": choices})


def _renamed(choice: Json, old: str, new: str) -> Json:
    return {new if name == old else name: value for name, value in choice.items()}


def _objects(values: Any) -> list[Json]:
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )


def _number(of: Json, otherwise: int) -> int:
    number = of.get("index")
    return number if isinstance(number, int) else otherwise


def _joined(before: Any, more: Any, name: str = "") -> Any:
    """Returns `before` with the following piece; it grows in place."""
    match before, more:
        case (_, None) | (None, _):
            return before if more is None else more
        case dict(), dict():
            before.update({key: _joined(before.get(key), more[key], key) for key in more})
        case list(), list() if name == "tool_calls":
            return _joined_calls(_objects(before), _objects(more))
        case _Text(), str():
            before.append(more)
        case list(), list() if not isinstance(before, _Text):
            before.extend(more)
        case str(), str() if name not in _NEVER_SPLIT:
            return _Text((before, more))
        case str(), _ if name in _NEVER_SPLIT and not before:
            return more
        case int() | float(), _ if name not in _NEVER_SPLIT:
            return more
    return before


def _joined_calls(before: list[Json], more: list[Json]) -> list[Json]:
    calls = list(before)
    for piece in more:
        place = _place(calls, piece)
        if place == len(calls):
            calls.append(piece)
        else:
            calls[place] = _joined(calls[place], piece)
    return sorted(calls, key=lambda call: _number(call, 0))


def _place(calls: list[Json], piece: Json) -> int:
    """Returns the place of the call that the piece belongs to."""
    index = piece.get("index")
    for place in reversed(range(len(calls))):
        if calls[place].get("index") == index:
            return len(calls) if is_another(index, _named(calls[place]), _named(piece)) else place
    return len(calls)


def _named(call: Json) -> tuple[str, str]:
    """Returns the id and the name of a call; "" for what is missing."""
    function = call.get("function")
    name = function.get("name") if isinstance(function, dict) else ""
    identity = call.get("id")
    return str(identity or ""), str(name or "")


def own_body(recorded: bytes, answer_id: str, model: str, cached_tokens: int) -> bytes:
    """Returns the answer with another id and model, and usage that shows it was cached."""
    completion: dict[str, Any] = orjson.loads(recorded)
    completion.pop(part_order.FIELD, None)
    usage = completion.get("usage")
    if isinstance(usage, dict):
        usage["prompt_tokens_details"] = {"cached_tokens": cached_tokens}
    return orjson.dumps({**completion, "id": answer_id, "model": model})


def as_events(recorded: bytes, *, include_usage: bool) -> tuple[int, bytes]:
    """Returns the number of events that the answer makes, and the events.

    Raises LookupError, TypeError, ValueError or AttributeError for a text that is no answer.
    """
    events = [*of_answer(recorded, include_usage=include_usage), DONE]
    return len(events), b"".join(event + b"\n\n" for event in events)
