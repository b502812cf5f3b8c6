"""Resumes an answer where it broke off, by the text that its reader already has."""

from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from inference.order import Order

# Fields with which an answer cannot be resumed by its text alone.
_NOT_RESUMABLE = (
    "tools",
    "response_format",
    "logprobs",
    "structured_outputs",
    "guided_json",
    "guided_choice",
    "echo",
    "suffix",
)


LONGEST_STOP = 1_000  # characters

# Fields with which the rest depends on more than the text before.
_CHANGES_WHEN_RESUMED = (
    "presence_penalty",  # vLLM counts what it has generated itself
    "frequency_penalty",
    "mirostat",
    "bad_words",
    "thinking_token_budget",
    "truncate_prompt_tokens",
    "return_token_ids",
    "return_tokens_as_token_ids",
)


def resumes_unchanged(order: Order) -> bool:
    """Returns whether an answer that is stopped and resumed is what it would have been.

    A sampled answer counts if it is as likely as before, unless a seed was to repeat it.
    """
    body: dict[str, Any] = orjson.loads(order.body)
    seeded = body.get("seed") is not None and body.get("temperature") != 0
    special = body.get("skip_special_tokens") is False  # as a prompt they would be no text
    return not (seeded or special or any(body.get(name) for name in _CHANGES_WHEN_RESUMED))


def retokenizes_alike(order: Order, text: str) -> bool:
    """Returns whether the engine reads prompt and answer as the same tokens as before.

    Without a chat both are one text, and a tokenizer could join them to other tokens where they
    meet. None does before a space that a word follows, unless another space precedes it.
    """
    if order.chat or not text:
        return True
    prompt = orjson.loads(order.body)["prompt"]
    begins_a_word = text[:1] == " " and text[1:2].isalnum()
    return begins_a_word and isinstance(prompt, str) and not prompt[-1:].isspace()


def stops_of(order: Order) -> list[str]:
    stop = orjson.loads(order.body).get("stop") or []
    return [stop] if isinstance(stop, str) else stop


def ends_inside_stop(stops: list[str], text: str) -> bool:
    """Returns whether a text ends with the beginning of one of these stop strings.

    Resumed there, an engine would look for the whole stop string in the rest. For a long one the
    last LONGEST_STOP characters suffice. Also true where one is too long to look for.
    """
    beginnings = (stop[:length] for stop in stops for length in range(1, len(stop)))
    return any(len(stop) > LONGEST_STOP for stop in stops) or any(map(text.endswith, beginnings))


def as_stream(order: Order) -> Order:
    """Returns a whole answer's order as one for a stream."""
    body = orjson.loads(order.body) | {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.structs.replace(order, body=orjson.dumps(body))


def rest_of(order: Order, tokens: int) -> dict[str, Any] | None:
    """Returns the body with its limits less the text's `tokens`; None if text does not suffice."""
    body: dict[str, Any] = orjson.loads(order.body)
    if any(_is_set(body.get(name)) for name in _NOT_RESUMABLE):
        return None
    if body.get("max_tokens"):
        body["max_tokens"] = max(1, body["max_tokens"] - tokens)
    if body.get("min_tokens"):
        body["min_tokens"] = max(0, body["min_tokens"] - tokens)
    return body


def _is_set(value: Any) -> bool:
    """Returns whether a field is set; `logprobs`: 0 is."""
    return value is not False and value not in (None, [], "")


def continued_body(
    order: Order, text: str, tokens: int, append: Callable[[dict[str, Any], str], None]
) -> bytes | None:
    """Returns the body that continues after `text`, which is the first `tokens` tokens; or None.

    `append` puts the text at the end of a chat's body, as the engine wants it.
    """
    body = rest_of(order, tokens)
    if body is None:
        return None
    if not text:
        return order.body
    if not order.chat:
        return after_prompt(body, text)
    append(body, text)
    return orjson.dumps(body)


def after_prompt(body: dict[str, Any], text: str) -> bytes | None:
    """Returns a completion's body with the text after its prompt; None for a prompt of tokens."""
    prompt = body["prompt"]
    return orjson.dumps({**body, "prompt": prompt + text}) if isinstance(prompt, str) else None


def append_to_answer(messages: list[dict[str, Any]], text: str, *, open_ended: bool) -> None:
    """Add the text as the assistant's last words, to its own message if that is open-ended."""
    if open_ended and isinstance(messages[-1].get("content"), str):
        messages[-1]["content"] += text
    else:
        messages.append({"role": "assistant", "content": text})


def takes_prefix(messages: list[dict[str, Any]]) -> bool:
    """Returns whether the last message is the beginning of the answer, in DeepSeek's form."""
    last = messages[-1] if messages else {}
    return last.get("role") == "assistant" and last.get("prefix") is True
