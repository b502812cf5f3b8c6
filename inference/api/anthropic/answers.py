"""Turns an answer in OpenAI's form into a message."""

from enum import Enum
from typing import Any, NamedTuple

import orjson

from inference.codec.answer_translator import count
from inference.codec.events import text_of
from inference.errors import Cancelled
from inference.order import Order
from inference.stream.frames import Frame
from inference.validation.schemas import DEEPEST, deeper

Json = dict[str, Any]
SIGNATURE = "forebay"  # of thinking: clients leave out blocks without one; nothing checks it
# The reason of an answer's end, and what Anthropic's clients read.
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
NO_USAGE = {
    "input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 0,
}
INVALID_INPUT = "INVALID_JSON"  # Anthropic's name for input that is none


class Thoughts(Enum):
    """The part of the model's thinking that a client gets. OMITTED: blocks without their text.

    The values end the ids of events, so that a stream that is read again has the same blocks.
    """

    SHOWN = ""
    OMITTED = "o"
    HIDDEN = "h"


class Stop(NamedTuple):
    """The end of an answer: `matched` is what an engine says of it beside the reason."""

    reason: str
    matched: Any = None


def message_id(order_id: str) -> str:
    return f"msg_{order_id}"


def message(frame: Frame, order: Order, thoughts: Thoughts) -> bytes:
    """Returns the whole message. Raises Cancelled if the answer was ended early."""
    if not frame.body:
        raise Cancelled
    answer = orjson.loads(frame.body)
    choice = answer["choices"][0]
    matched = choice.get("stop_reason") or choice.get("matched_stop")
    usage = usage_of(answer.get("usage"))
    blocks = content(_object(choice.get("message")), thoughts)
    stop = Stop(str(choice.get("finish_reason") or "stop"), matched)
    has_calls = any(block["type"] == "tool_use" for block in blocks)
    return orjson.dumps(
        {
            **head(message_id(order.id.hex), answer.get("model") or order.public_model),
            "content": blocks,
            **stop_fields(stop, order, usage["output_tokens"], has_calls=has_calls),
            "usage": {**usage, "service_tier": "standard"},
        }
    )


def head(identity: str, model: Any) -> Json:
    return {"id": identity, "type": "message", "role": "assistant", "model": model}


def content(message: Json, thoughts: Thoughts) -> list[Json]:
    """Returns the blocks of a message in OpenAI's form."""
    blocks = list[Json]()
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thought, str) and thought and thoughts is not Thoughts.HIDDEN:
        shown = thought if thoughts is Thoughts.SHOWN else ""
        blocks.append({"type": "thinking", "thinking": shown, "signature": SIGNATURE})
    text = text_of(message.get("content")) or message.get("refusal")
    if isinstance(text, str) and text:
        blocks.append({"type": "text", "text": text})
    calls = message.get("tool_calls")
    listed = calls if isinstance(calls, list) else []
    return blocks + [_tool_use(_object(call), n) for n, call in enumerate(listed)]


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _tool_use(call: Json, number: int) -> Json:
    function = _object(call.get("function"))
    name, arguments = function.get("name") or "", function.get("arguments") or "{}"
    identity = call.get("id") or f"toolu_{number}"
    return {"type": "tool_use", "id": identity, "name": name, "input": _input(arguments)}


def _input(arguments: Any) -> Json:
    """Returns the input of a call: an object, also where the model wrote something else.

    An object that is too deep for a request could not be sent back with the call's result.
    """
    try:
        parsed = orjson.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        parsed = None
    fits = isinstance(parsed, dict) and not deeper(parsed, DEEPEST)
    return parsed if fits else {INVALID_INPUT: str(arguments)}


def usage_of(counted: Any) -> dict[str, Any]:
    """Returns the usage. `input_tokens` are those that no cache had."""
    if not isinstance(counted, dict):
        return dict(NO_USAGE)
    cached = count(counted.get("prompt_tokens_details"), "cached_tokens") or 0
    usage: dict[str, Any] = {
        "input_tokens": max(0, (count(counted, "prompt_tokens") or 0) - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": count(counted, "completion_tokens") or 0,
    }
    if thought := count(counted.get("completion_tokens_details"), "reasoning_tokens"):
        usage["output_tokens_details"] = {"thinking_tokens": thought}
    return usage


def stop_fields(stop: Stop, order: Order | None, tokens: int, *, has_calls: bool) -> Json:
    """Returns the reason and the stop sequence, which not each engine names."""
    reason = STOP_REASONS.get(stop.reason, "end_turn")
    matched = stop.matched if isinstance(stop.matched, str) and reason == "end_turn" else None
    if matched:
        reason = "stop_sequence"
    elif reason == "end_turn" and has_calls:
        reason = "tool_use"
    elif reason == "max_tokens" and order and _fills_context(order, tokens):
        reason = "model_context_window_exceeded"
    return {"stop_reason": reason, "stop_sequence": matched}


def _fills_context(order: Order, tokens: int) -> bool:
    """Returns whether an answer that was cut is shorter than its request allowed."""
    most = orjson.loads(order.body).get("max_tokens")
    return most is None or 0 < tokens < most
