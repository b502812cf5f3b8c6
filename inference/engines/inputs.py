"""The inputs of embeddings and rankings: an engine gets a portion of them at a time."""

from collections.abc import Iterator
from typing import Any

import orjson

from inference.order import EMBED

Body = dict[str, Any]
OF_INPUT = 4  # tokens that a model may put around a text, or between two
# Inputs of one question, at most; a hosted engine is far away.
PORTION, HOSTED_PORTION, PORTION_BYTES = 32, 256, 128 * 1024


def inputs_of(body: Body, task: str) -> list[Any]:
    inputs: list[Any] = body["input" if task == EMBED else "documents"]
    return inputs


def portions(inputs: list[Any], most: int) -> Iterator[list[Any]]:
    """Yields at most `most` inputs at a time, with PORTION_BYTES or so of text or tokens."""
    portion, size = list[Any](), 0
    for each in inputs:
        portion.append(each)
        size += len(each) * (1 if isinstance(each, str) else 4)
        if len(portion) == most or size >= PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def question(body: Body, portion: list[Any], task: str) -> Body:
    """Returns the body of a question about a portion. Vectors come as base64, which is shorter."""
    if task == EMBED:
        return {**body, "input": portion, "encoding_format": "base64"}
    names = ("model", "query", "user")
    return {**{name: body[name] for name in names if name in body}, "documents": portion}


def prompt_tokens_bound(body: Body, task: str, growth: int) -> int:
    """Returns the most tokens of a body. A model reads the query with each document.

    A token has at least one byte of a text, whose normal form may be `growth` times as long.
    """
    inputs = inputs_of(body, task)
    beside = OF_INPUT + (0 if task == EMBED else _bytes(body["query"]) * growth)
    counts = (len(each) if isinstance(each, list) else _bytes(each) * growth for each in inputs)
    return sum(counts) + beside * len(inputs)


def _bytes(text: str) -> int:
    return len(orjson.dumps(text))


def likely_tokens(body: Body, task: str) -> int:
    """Returns an estimate, at four bytes a token."""
    return max(1, prompt_tokens_bound(body, task, 1) // 4)
