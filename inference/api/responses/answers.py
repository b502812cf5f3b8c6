"""Turns a whole answer of a chat into a response."""

from typing import Any

import orjson

from inference.api.responses import output
from inference.api.responses.events import EventWriter
from inference.api.responses.output import COMPLETED, Shape
from inference.codec import pieces
from inference.codec.events import text_of
from inference.errors import Cancelled
from inference.stream.frames import Frame, Kind
from inference.validation.schemas import Body


def response(frame: Frame, shape: Shape) -> Body:
    """Returns the response of a final frame. Raises Cancelled if the answer was ended early."""
    if not frame.body:
        raise Cancelled
    return of_body(frame.body, shape)


def of_body(body: bytes, shape: Shape) -> Body:
    """Returns the response of a chat's whole answer, or of the record of a stream."""
    answer = orjson.loads(body)
    if pieces.has_order(answer):
        return _of_stream(body, shape)
    choice = answer["choices"][0]
    items = _items(_object(choice.get("message")), choice.get("logprobs"), shape)
    reason = str(choice.get("finish_reason") or "stop")
    items[-1]["status"] = output.status_of(reason)
    return shape.ended(reason, items, answer.get("usage"))


def _of_stream(body: bytes, shape: Shape) -> Body:
    """Returns the response whose items the stream had: not all thoughts first, then all texts."""
    number, text = pieces.as_events(body, include_usage=True)
    writer = EventWriter(shape, after_chunk=number)
    writer.written(Frame(b"", 1, number, Kind.END, text))
    return writer.response or shape.response(output.FAILED)


def _items(message: Body, logprobs: Any, shape: Shape) -> list[Body]:
    """Returns thoughts, text and calls; without any, an empty text."""
    items = list[Body]()
    if thought := _text(message, "reasoning_content", "reasoning"):
        items.append(output.reasoning(shape, shape.item_id("rs", 0), COMPLETED, thought))
    parts = list[Body]()
    calls = message.get("tool_calls")
    listed = calls if isinstance(calls, list) else []
    if text := text_of(message.get("content")):
        parts.append(output.text_part(text, output.logprobs_of(logprobs)))
    if refusal := _text(message, "refusal"):
        parts.append(output.refusal_part(refusal))
    if parts:
        items.append(output.message(shape.item_id("msg", len(items)), COMPLETED, *parts))
    for call in listed:
        function = _object(_object(call).get("function"))
        own = output.call_of(shape, len(items), _object(call).get("id"), function.get("name"))
        items.append(own.item(COMPLETED, _arguments(function.get("arguments"))))
    return items or [output.message(shape.item_id("msg", 0), COMPLETED, output.text_part(""))]


def _text(message: Body, *names: str) -> str:
    texts = (message.get(name) for name in names)
    return next((text for text in texts if isinstance(text, str) and text), "")


def _arguments(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or "{}"
    return orjson.dumps(arguments).decode()


def _object(value: Any) -> Body:
    return value if isinstance(value, dict) else {}
