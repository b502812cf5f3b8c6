"""Delivers an answer to the waiting client, as lines of JSON or whole."""

import asyncio
import contextlib
import time

import orjson

from inference.api.http.request import JSON, Request, attended, whole
from inference.api.ollama import errors
from inference.api.ollama.chunks import Piece
from inference.api.ollama.lines import LineWriter, Shape
from inference.codec import pieces
from inference.errors import Cancelled, Headers, ServerStopped
from inference.intake.answer_stream import AnswerStream
from inference.stream.frames import Frame, Kind

LINES: Headers = [
    (b"content-type", b"application/x-ndjson"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
FIRST_LINE_S = 10.0  # until then an error can have its own HTTP status
KEEP_ALIVE_S = 15.0


async def send_whole(request: Request, answer: AnswerStream, writer: LineWriter) -> None:
    """Answer in one piece, made in one piece: it begins anew where a worker or an engine dies."""
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        return await send_error(request, frame)
    if not frame.body:
        raise Cancelled
    writer.hear(list(pieces.of_answer(frame.body, include_usage=True)))
    return await request.answer(writer.whole())


async def send_lines(
    request: Request, answer: AnswerStream, writer: LineWriter, shape: Shape
) -> None:
    try:
        with attended(request, answer):
            await _send_lines(request, answer, writer, sign_of_life(shape))
    except asyncio.CancelledError:  # this process stops
        if request.started:
            await request.write(errors.last_words(ServerStopped()), more=False)
        raise


def sign_of_life(shape: Shape) -> bytes:
    """Returns a line without text. Clients take none that is empty."""
    return orjson.dumps(shape.line(Piece())) + b"\n"


async def _send_lines(
    request: Request, answer: AnswerStream, writer: LineWriter, keep_alive: bytes
) -> None:
    began = spoken = time.monotonic()
    async with contextlib.aclosing(answer.frames()) as frames:
        async for frame in frames:
            now = time.monotonic()
            if not request.started:
                request.call.tell_frame(frame)
                if frame and frame.kind == Kind.ERROR:
                    return await send_error(request, frame)
                if frame is None and now - began < FIRST_LINE_S:
                    continue
                await request.start(200, LINES)
            lines = writer.written(frame) if frame else b""
            if not lines and now - spoken > KEEP_ALIVE_S:
                lines = keep_alive
            if lines or (frame and frame.final):
                await request.write(lines, more=not (frame and frame.final))
                spoken = now
    return None


async def send_error(request: Request, frame: Frame) -> None:
    wait = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
    await request.answer(errors.frame_body(frame), frame.status, [*JSON, *wait])
