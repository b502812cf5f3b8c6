"""Delivers an answer to the waiting client, as a message or as server-sent events."""

import asyncio
import contextlib
import time

from inference.api.anthropic import answers, errors
from inference.api.anthropic.answers import Thoughts
from inference.api.anthropic.events import PING, EventWriter
from inference.api.http.request import JSON, Request, attended, whole
from inference.errors import Headers, ServerStopped
from inference.intake.answer_stream import AnswerStream
from inference.stream.frames import Frame, Kind

EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
FIRST_EVENT_S = 10.0  # until then an error can have its own HTTP status
PING_S = 15.0


async def send_message(request: Request, answer: AnswerStream, thoughts: Thoughts) -> None:
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        return await _send_error(request, frame)
    body = answers.message(frame, answer.order, thoughts)
    return await request.answer(body)


async def send_events(request: Request, answer: AnswerStream, thoughts: Thoughts) -> None:
    identity = answers.message_id(answer.order.id.hex)
    writer = EventWriter(identity, answer.order, thoughts)
    try:
        with attended(request, answer):
            await _send_events(request, answer, writer)
    except asyncio.CancelledError:  # this process stops
        if request.started:
            error = ServerStopped()
            error.request_id = request.call.request_id
            await request.write(errors.last_words(error), more=False)
        raise


async def _send_events(request: Request, answer: AnswerStream, writer: EventWriter) -> None:
    began = spoken = time.monotonic()
    async with contextlib.aclosing(answer.frames()) as frames:
        async for frame in frames:
            now = time.monotonic()
            if not request.started:
                request.call.tell_frame(frame)
                if frame and frame.kind == Kind.ERROR:
                    return await _send_error(request, frame)
                if frame is None and now - began < FIRST_EVENT_S:
                    continue
                await request.start(200, EVENT_STREAM)
            text = writer.written(frame, request.call.request_id) if frame else b""
            if not text and now - spoken > PING_S:
                text = PING
            if text or (frame and frame.final):
                await request.write(text, more=not (frame and frame.final))
                spoken = now
    return None


async def _send_error(request: Request, frame: Frame) -> None:
    body = errors.frame_body(frame, request.call.request_id)
    wait = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
    await request.answer(body, frame.status, [*JSON, *wait])
