"""Errors in OpenAI's shape; in a stream, the events that end it."""

from typing import Any

import orjson

from inference.errors import ApiError
from inference.stream.frames import Frame

DONE = b"data: [DONE]\n\n"
LAST = 2**31 - 1  # sequence number of an event behind all others


def of_frame(frame: Frame) -> dict[str, Any]:
    """Returns the `error` of a response whose stream ended with this frame."""
    inner = orjson.loads(frame.body)["error"]
    return {"code": inner["code"], "message": inner["message"]}


def last_words(error: ApiError) -> bytes:
    """Returns the event that ends a stream of which nothing is known here."""
    inner = orjson.loads(error.body())["error"]
    fields = {"code": inner["code"], "message": inner["message"], "param": inner["param"]}
    data = orjson.dumps({"type": "error", **fields, "sequence_number": LAST})
    return b"event: error\ndata: %b\n\n%b" % (data, DONE)
