"""Streams an answer to the waiting client, in the form of a front end."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from inference.api.http.request import Request, attended
from inference.errors import Headers
from inference.intake.answer_stream import AnswerStream
from inference.stream.frames import Frame, Kind

FIRST_WRITE_S = 10.0  # until then an error can have its own HTTP status
SILENCE_S = 15.0
_UNBUFFERED: Headers = [
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
EVENT_STREAM: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), *_UNBUFFERED]
JSON_LINES: Headers = [(b"content-type", b"application/x-ndjson"), *_UNBUFFERED]


@dataclass(frozen=True, slots=True)
class StreamForm:
    """The form of a stream.

    `written` gives the bytes of a frame, `begun` those of a stream that begins before its first
    frame. `silence` breaks each silence of SILENCE_S. `last_words` is the end of a stream whose
    process stops. `send_error` answers with an error before anything was written.
    """

    headers: Headers
    written: Callable[[Frame], bytes]
    silence: bytes
    last_words: Callable[[], bytes]
    send_error: Callable[[Request, Frame], Awaitable[None]]
    begun: Callable[[], bytes] = bytes


async def send(request: Request, answer: AnswerStream, form: StreamForm) -> None:
    try:
        with attended(request, answer):
            await _send(request, answer, form)
    except asyncio.CancelledError:  # this process stops
        if request.started:
            await request.write(form.last_words(), more=False)
        raise


async def _send(request: Request, answer: AnswerStream, form: StreamForm) -> None:
    began = spoken = time.monotonic()
    async with contextlib.aclosing(answer.frames()) as frames:
        async for frame in frames:
            now, text = time.monotonic(), b""
            if not request.started:
                request.call.tell_frame(frame)
                if frame and frame.kind == Kind.ERROR:
                    return await form.send_error(request, frame)
                if frame is None and now - began < FIRST_WRITE_S:
                    continue
                await request.start(200, form.headers)
                text = b"" if frame else form.begun()
            if frame:
                text = form.written(frame)
            if not text and now - spoken > SILENCE_S:
                text = form.silence
            is_over = bool(frame and frame.final)
            if text or is_over:
                await request.write(text, more=not is_over)
                spoken = now
    return None
