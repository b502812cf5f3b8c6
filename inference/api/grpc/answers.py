"""Writes frames, which hold OpenAI's JSON, as protobuf messages."""

from typing import Any

import orjson

from inference.api.grpc import errors
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from inference.codec import events
from inference.codec.answer_translator import count
from inference.errors import Cancelled
from inference.stream.frames import Frame, Kind


class Whole:
    """An answer in one piece. Raises Cancelled if it was ended early."""

    def __init__(self, frame: Frame) -> None:
        if not frame.body:
            raise Cancelled
        words = events.said_of(frame.body)
        self.text, self.reasoning = words.text, words.reasoning
        answer = orjson.loads(frame.body)
        self.finish_reason = events.finish_reason(answer)
        self.usage = usage(answer.get("usage"))


def usage(counted: Any) -> dict[str, int] | None:
    """Returns the fields of a Usage; None if an engine counted nothing."""
    if not isinstance(counted, dict):
        return None
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    counts = {name: count(counted, name) or 0 for name in names}
    details = counted.get("prompt_tokens_details")
    return counts | {"cached_tokens": count(details, "cached_tokens") or 0}


def event(frame: Frame, request_id: str) -> pb.AnswerEvent:
    """Returns all events of a frame as one message, since they arrived together.

    Raises ApiError for an error, Cancelled for an end that has no finish reason.
    """
    if frame.kind == Kind.ERROR:
        raise errors.of_frame(frame)
    pieces = frame.body.split(b"\n\n")
    words = list(map(events.said_in, pieces))
    message = pb.AnswerEvent(
        number=frame.last,
        text="".join(piece.text for piece in words),
        reasoning="".join(piece.reasoning for piece in words),
        request_id=request_id,
    )
    if frame.kind == Kind.END:
        _end(message, list(map(events.parsed, pieces)))
    return message


def _end(message: pb.AnswerEvent, chunks: list[dict[str, Any]]) -> None:
    reasons = filter(None, map(events.finish_reason, chunks))
    message.finish_reason = next(reasons, "")
    if not message.finish_reason:
        raise Cancelled
    if counted := next((u for chunk in chunks if (u := usage(chunk.get("usage")))), None):
        message.usage.CopyFrom(pb.Usage(**counted))
