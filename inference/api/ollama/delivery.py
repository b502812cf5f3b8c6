"""Delivers an answer to the waiting client, as lines of JSON or whole."""

import orjson

from inference.api.http import streaming
from inference.api.http.request import JSON, Request, whole
from inference.api.ollama import errors
from inference.api.ollama.chunks import Piece
from inference.api.ollama.lines import LineWriter, Shape
from inference.codec import pieces
from inference.errors import Cancelled, ServerStopped
from inference.intake.answer_stream import AnswerStream
from inference.stream.frames import Frame, Kind


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
    form = streaming.StreamForm(
        streaming.JSON_LINES, writer.written, sign_of_life(shape), _last_words, send_error
    )
    await streaming.send(request, answer, form)


def _last_words() -> bytes:
    return errors.last_words(ServerStopped())


def sign_of_life(shape: Shape) -> bytes:
    """Returns a line without text. Clients take none that is empty."""
    return orjson.dumps(shape.line(Piece())) + b"\n"


async def send_error(request: Request, frame: Frame) -> None:
    wait = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
    await request.answer(errors.frame_body(frame), frame.status, [*JSON, *wait])
