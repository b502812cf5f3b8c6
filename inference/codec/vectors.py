"""Reads engines' embeddings and scores, and writes them in the form of clients.

A vector is bytes: float32, little endian, as `encoding_format: base64` has it.
"""

import math
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

Usage = dict[str, Any]
T = TypeVar("T")
_WIDTH = 4  # bytes of a number


class UnreadableVectors(ValueError):
    """The engine's answer has not one sound vector, or score, for each input."""


# Embeddings --------------------------------------------------------------------------------------
def embeddings_in(body: bytes, count: int) -> tuple[list[bytes], Usage]:
    """Returns `count` vectors in the order of their inputs, and usage. Raises UnreadableVectors."""
    answer = _parsed(body)
    rows = answer.get("data") if isinstance(answer, dict) else None
    vectors = _by_index(rows, count, lambda row: _vector(row.get("embedding")))
    if len({len(vector) for vector in vectors}) != 1:
        raise UnreadableVectors("its vectors have different lengths")
    return vectors, _usage(answer)


def _vector(value: Any) -> bytes:
    try:
        if isinstance(value, str):
            vector = b64decode(value, validate=True)
            numbers: Sequence[float] = struct.unpack(f"<{len(vector) // _WIDTH}f", vector)
        else:
            numbers = value
            vector = struct.pack(f"<{len(numbers)}f", *numbers)
    except (TypeError, ValueError, OverflowError, struct.error):
        raise UnreadableVectors("one of its vectors is none") from None
    if not numbers or not all(map(math.isfinite, numbers)):
        raise UnreadableVectors("one of its vectors is empty, or has a number that is none")
    return vector


def dimensions(vector: bytes) -> int:
    return len(vector) // _WIDTH


def shortened(vector: bytes, most: int) -> bytes:
    """Returns its first `most` numbers with a length of 1, as OpenAI shortens embeddings."""
    numbers = struct.unpack_from(f"<{most}f", vector)
    length = math.hypot(*numbers) or 1.0
    return struct.pack(f"<{most}f", *(number / length for number in numbers))


def written(index: int, vector: bytes, encoding: str) -> bytes:
    """Returns an item of the list that clients get."""
    embedding: Any = b64encode(vector).decode()
    if encoding != "base64":
        embedding = struct.unpack(f"<{dimensions(vector)}f", vector)
    return orjson.dumps({"object": "embedding", "index": index, "embedding": embedding})


def embeddings(model: str, items: list[bytes], tokens: int) -> bytes:
    """Returns the whole answer of items that `written` made."""
    usage = orjson.dumps({"prompt_tokens": tokens, "total_tokens": tokens})
    head = b'{"object":"list","model":%b,"usage":%b,"data":[' % (orjson.dumps(model), usage)
    return head + b",".join(items) + b"]}"


# Rankings ----------------------------------------------------------------------------------------
def scores_in(body: bytes, count: int) -> tuple[list[float], Usage]:
    """Returns the scores of `count` documents in their order. Raises UnreadableVectors."""
    answer = _parsed(body)
    rows = answer
    if isinstance(answer, dict):
        rows = answer.get("results", answer.get("data"))
    return _by_index(rows, count, _score), _usage(answer)


def _score(row: dict[str, Any]) -> float:
    score = row.get("relevance_score", row.get("score"))
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise UnreadableVectors("one of its scores is no number")
    return float(score)


def ranking(
    answer_id: str, model: str, scores: Sequence[float], tokens: int, top_n: int | None
) -> dict[str, Any]:
    """Returns the answer, best document first, in the shape of Jina and of Cohere alike."""
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    results = [{"index": index, "relevance_score": scores[index]} for index in order[:top_n]]
    counted = {"input_tokens": tokens}
    return {
        "id": answer_id,
        "object": "list",
        "model": model,
        "results": results,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {"billed_units": counted, "tokens": counted},
    }


# Both --------------------------------------------------------------------------------------------
def own_body(recorded: bytes, answer_id: str, model: str, cached_tokens: int) -> bytes:
    """Returns a recorded answer as another request's own, with usage that shows it was cached."""
    answer = orjson.loads(recorded)
    if "id" in answer:
        answer["id"] = answer_id
    answer["usage"]["prompt_tokens_details"] = {"cached_tokens": cached_tokens}
    return orjson.dumps({**answer, "model": model})


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:  # JSON has no NaN
        raise UnreadableVectors("it sent no JSON") from None


def _by_index(rows: Any, count: int, read: Callable[[dict[str, Any]], T]) -> list[T]:
    if not isinstance(rows, list) or len(rows) != count:
        raise UnreadableVectors("it sent another number of answers than it got inputs")
    by_index = dict[int, T]()
    for place, row in enumerate(rows):
        index = row.get("index", place) if isinstance(row, dict) else None
        if type(index) is not int or not 0 <= index < count or index in by_index:
            raise UnreadableVectors("its answers are not numbered like its inputs")
        by_index[index] = read(row)
    return [by_index[index] for index in range(count)]


def _usage(answer: Any) -> Usage:
    usage = answer.get("usage") if isinstance(answer, dict) else None
    if not isinstance(usage, dict):
        return {}
    tokens = usage.get("prompt_tokens", usage.get("total_tokens"))
    return {"prompt_tokens": tokens, "completion_tokens": 0}
