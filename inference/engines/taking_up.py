"""Taking up an answer where it broke off, by the text that its reader already has."""

from typing import Any

import orjson

from inference.order import Order

# An answer under one of these cannot be taken up in the middle by its text alone.
_NOT_BY_TEXT = (
    "tools",
    "response_format",
    "logprobs",
    "structured_outputs",
    "guided_json",
    "guided_choice",
    "echo",
    "suffix",
)


def rest_of(order: Order, tokens: int) -> dict[str, Any] | None:
    """The body with limits less the `tokens` that are there; None where text does not suffice."""
    body: dict[str, Any] = orjson.loads(order.body)
    if any(_asks(body.get(name)) for name in _NOT_BY_TEXT):
        return None
    if body.get("max_tokens"):
        body["max_tokens"] = max(1, body["max_tokens"] - tokens)
    if body.get("min_tokens"):
        body["min_tokens"] = max(0, body["min_tokens"] - tokens)
    return body


def _asks(value: Any) -> bool:
    """`logprobs`: 0 does."""
    return value is not False and value not in (None, [], "")


def said_last(messages: list[dict[str, Any]], text: str, *, open_ended: bool) -> None:
    """Adds the text as the assistant's last words; to its own message where that is open-ended."""
    if open_ended and isinstance(messages[-1].get("content"), str):
        messages[-1]["content"] += text
    else:
        messages.append({"role": "assistant", "content": text})


def takes_prefix(messages: list[dict[str, Any]]) -> bool:
    """DeepSeek's form: the last message is the beginning of the answer."""
    last = messages[-1] if messages else {}
    return last.get("role") == "assistant" and last.get("prefix") is True
