"""Streams an answer to the waiting client, in the form of a front end."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from inference.api import stream_resumption
from inference.api.http.request import Request, attended, watched
from inference.errors import BadRequest, Headers
from inference.intake.answer_stream import AnswerStream, ReaderGone
from inference.models import Completion
from inference.stream.frames import Frame, Kind
from tenants.caller import Caller

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


# Kept streams -------------------------------------------------------------------------------------
async def send_again(
    request: Request,
    caller: Caller,
    completion: Completion,
    written: Callable[[Frame], bytes],
    silence: bytes,
    *,
    after: int = 0,
    headers: Headers = EVENT_STREAM,
) -> None:
    """Stream the kept frames after event `after`, and those that come meanwhile.

    `written` gives the bytes of a frame, `silence` breaks a silence. Raises NotAdmitted,
    Unavailable, ReaderGone.
    """
    call = request.call
    with stream_resumption.counted(call, caller), watched(request) as closed:

        async def write(frame: Frame | None) -> None:
            if closed.done():
                raise ReaderGone
            if text := written(frame) if frame else silence:
                await request.write(text)

        await request.start(200, headers)
        await stream_resumption.read_on(call, caller, completion, after, write)
        await request.write(b"", more=False)


def last_event(request: Request) -> int:
    """Returns the `Last-Event-ID` of a request; 0 without one. Raises BadRequest."""
    text = request.header(b"last-event-id") or "0"
    if not text.isdecimal() or len(text) > 12:
        raise BadRequest("Last-Event-ID must be the id of an event", param="Last-Event-ID")
    return int(text)
