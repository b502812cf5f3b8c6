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
        self.finish_reason = events.reason_of_whole(answer)
        self.usage = usage(answer.get("usage"))


def usage(counted: Any) -> dict[str, int] | None:
    """Returns the fields of a Usage; None if an engine counted nothing."""
    if not isinstance(counted, dict):
        return None
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    counts = {name: count(counted, name) or 0 for name in names}
    details = counted.get("prompt_tokens_details")
    return counts | {"cached_tokens": count(details, "cached_tokens") or 0}


class Events:
    """Writes the events of one stream; of several answers those of the first one."""

    def __init__(self, request_id: str) -> None:
        self._request_id, self._finish_reason = request_id, ""

    def of(self, frame: Frame) -> pb.AnswerEvent:
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
            request_id=self._request_id,
        )
        may_end = frame.kind == Kind.END or events.ends(frame.body)
        chunks = list(map(events.parsed, pieces)) if may_end else []
        self._note_reason(chunks)
        if frame.kind == Kind.END:
            self._end(message, chunks)
        return message

    def _note_reason(self, chunks: list[dict[str, Any]]) -> None:
        """Note the first answer's reason, which may come before the others have ended."""
        own = filter(None, map(events.finish_reason, filter(_is_of_first, chunks)))
        self._finish_reason = self._finish_reason or next(own, "")

    def _end(self, message: pb.AnswerEvent, chunks: list[dict[str, Any]]) -> None:
        # Who resumes behind the first answer's reason gets that of another one.
        others = filter(None, map(events.finish_reason, chunks))
        message.finish_reason = self._finish_reason or next(others, "")
        if not message.finish_reason:
            raise Cancelled
        if counted := next((u for chunk in chunks if (u := usage(chunk.get("usage")))), None):
            message.usage.CopyFrom(pb.Usage(**counted))


def _is_of_first(chunk: dict[str, Any]) -> bool:
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and not events.is_further(first.get("index"))
