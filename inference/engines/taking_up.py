"""Taking up an answer where it broke off, by the text that its reader already has."""

from collections.abc import Callable
from typing import Any

import msgspec
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


LONGEST_STOP = 1_000  # characters

# What comes after depends on more than the text before, or on how that came about.
_NOT_AS_BEFORE = (
    "presence_penalty",  # vLLM counts what it has generated itself
    "frequency_penalty",
    "mirostat",
    "bad_words",
    "thinking_token_budget",
    "truncate_prompt_tokens",
    "return_token_ids",
    "return_tokens_as_token_ids",
)


def keeps_course(order: Order) -> bool:
    """Whether an answer that is stopped and taken up is what it would have been.

    Of one drawn by chance: as likely as it would have been, unless a seed was to repeat it.
    """
    body: dict[str, Any] = orjson.loads(order.body)
    drawn = body.get("seed") is not None and body.get("temperature") != 0
    special = body.get("skip_special_tokens") is False  # read again, they are no text
    return not (drawn or special or any(body.get(name) for name in _NOT_AS_BEFORE))


def meets(order: Order, text: str) -> bool:
    """Whether an answer that begins so is read again with the tokens that it was made of.

    Without a chat, prompt and answer are one text, and where they meet a tokenizer could join them
    to other tokens. Before a space that a word follows none does, unless there is one more.
    """
    if order.chat or not text:
        return True
    prompt = orjson.loads(order.body)["prompt"]
    begins_a_word = text[:1] == " " and text[1:2].isalnum()
    return begins_a_word and isinstance(prompt, str) and not prompt[-1:].isspace()


def stops_of(order: Order) -> list[str]:
    stop = orjson.loads(order.body).get("stop") or []
    return [stop] if isinstance(stop, str) else stop


def is_inside_a_stop(stops: list[str], text: str) -> bool:
    """Whether a text ends with the beginning of one of these stop strings; of a long one the last
    LONGEST_STOP characters will do.

    Taken up there, an engine would look for the whole of it in what comes after. Also where one is
    so long that nobody has time to look.
    """
    beginnings = (one[:length] for one in stops for length in range(1, len(one)))
    return any(len(one) > LONGEST_STOP for one in stops) or any(map(text.endswith, beginnings))


def in_pieces(order: Order) -> Order:
    """For a whole answer that is asked for as a stream."""
    body = orjson.loads(order.body) | {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.structs.replace(order, body=orjson.dumps(body))


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


def taken_up(
    order: Order, text: str, tokens: int, say: Callable[[dict[str, Any], str], None]
) -> bytes | None:
    """The body that makes an engine go on after `text` (its first `tokens` tokens), or None.

    `say` puts the text at the end of a chat's body, as the engine wants it.
    """
    body = rest_of(order, tokens)
    if body is None:
        return None
    if not text:
        return order.body
    if not order.chat:
        return after_prompt(body, text)
    say(body, text)
    return orjson.dumps(body)


def after_prompt(body: dict[str, Any], text: str) -> bytes | None:
    """Without a chat; None for a prompt of tokens."""
    prompt = body["prompt"]
    return orjson.dumps({**body, "prompt": prompt + text}) if isinstance(prompt, str) else None


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
