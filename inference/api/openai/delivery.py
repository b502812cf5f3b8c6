"""Step 8: delivers an answer to the waiting client, as JSON or as server-sent events."""

import asyncio
import contextlib
import time

from inference.api.http.request import JSON, Request, attended, whole
from inference.api.http.streaming import EVENT_STREAM
from inference.intake.answer_stream import AnswerStream
from inference.stream.frames import Frame, Kind, numbered

FIRST_EVENT_S = 10.0  # until then an error can have its own HTTP status
KEEP_ALIVE_S = 15.0
# No blank line stands behind a comment: after an `id:` openai-python, anthropic and httpx-sse take
# one for the end of an event without data, and fail to read it. The next event ends the comment.
KEEP_ALIVE, _QUEUE_POSITION = b": keep-alive\n", b": queue position %d\n"


async def send_json(request: Request, answer: AnswerStream) -> None:
    await send_frame(request, await whole(request, answer))


async def send_frame(request: Request, frame: Frame) -> None:
    """Answer with a whole answer or an error."""
    wait = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
    await request.answer(frame.body, frame.status, [*JSON, *wait])


async def send_events(request: Request, answer: AnswerStream) -> None:
    try:
        with attended(request, answer):
            await _send_events(request, answer)
    except asyncio.CancelledError:  # this process stops
        if request.started:
            await request.write(_STOPPED, more=False)
        raise


_STOPPED = (
    b'data: {"error":{"message":"this server stops; read on with Last-Event-ID, or send it again",'
    b'"type":"server_error","param":null,"code":"server_stopped"}}\n\ndata: [DONE]\n\n'
)


async def _send_events(request: Request, answer: AnswerStream) -> None:
    began = spoken = time.monotonic()
    async with contextlib.aclosing(answer.frames()) as frames:
        async for frame in frames:
            now = time.monotonic()
            if not request.started:
                request.call.tell_frame(frame)
                if frame and frame.kind == Kind.ERROR:
                    await send_frame(request, frame)
                    return
                if frame is None and now - began < FIRST_EVENT_S:
                    continue
                await request.start(200, EVENT_STREAM)
            if frame:
                await request.write(event_bytes(frame), more=not frame.final)
                spoken = now
            elif comment := _comment(answer, now - spoken):
                await request.write(comment)
                spoken = now


def _comment(answer: AnswerStream, silent_s: float) -> bytes:
    """Returns the queue position while the request waits, else a sign of life after a silence."""
    if position := answer.place_now.position:
        return _QUEUE_POSITION % position
    return KEEP_ALIVE if silent_s > KEEP_ALIVE_S else b""


def event_bytes(frame: Frame) -> bytes:
    """Returns the frame as events. An error in mid-stream is an error event, then [DONE]."""
    if frame.kind == Kind.ERROR:
        return b"id: %d\ndata: %b\n\ndata: [DONE]\n\n" % (frame.last, frame.body)
    return numbered(frame)
