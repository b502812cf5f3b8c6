"""Delivers an answer to the waiting client, as a response or as server-sent events."""

import asyncio
import contextlib
import time

from inference.api.http.request import JSON, Request, attended, whole
from inference.api.responses import answers
from inference.api.responses.events import KEEP_ALIVE, EventWriter
from inference.api.responses.output import Shape
from inference.errors import Headers, ServerStopped
from inference.intake.answer_stream import AnswerStream
from inference.stream.frames import Frame, Kind

EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
FIRST_EVENT_S = 10.0  # until then an error can have its own HTTP status
KEEP_ALIVE_S = 15.0


async def send_response(request: Request, answer: AnswerStream, shape: Shape) -> None:
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        return await send_error(request, frame)
    return await request.answer_json(answers.response(frame, shape))


async def send_events(request: Request, answer: AnswerStream, shape: Shape) -> None:
    writer = EventWriter(shape)
    try:
        with attended(request, answer):
            await _send_events(request, answer, writer)
    except asyncio.CancelledError:  # this process stops
        if request.started:
            error = ServerStopped()
            last = writer.failed({"code": error.code, "message": error.message})
            await request.write(last, more=False)
        raise


async def _send_events(request: Request, answer: AnswerStream, writer: EventWriter) -> None:
    began = spoken = time.monotonic()
    async with contextlib.aclosing(answer.frames()) as frames:
        async for frame in frames:
            now, text = time.monotonic(), b""
            if not request.started:
                request.call.tell_frame(frame)
                if frame and frame.kind == Kind.ERROR:
                    return await send_error(request, frame)
                if frame is None and now - began < FIRST_EVENT_S:
                    continue
                await request.start(200, EVENT_STREAM)
                text = b"" if frame else writer.begun()
            if frame:
                text = writer.written(frame)
            if not text and now - spoken > KEEP_ALIVE_S:
                text = KEEP_ALIVE
            if text or (frame and frame.final):
                await request.write(text, more=not (frame and frame.final))
                spoken = now
    return None


async def send_error(request: Request, frame: Frame) -> None:
    wait = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
    await request.answer(frame.body, frame.status, [*JSON, *wait])
