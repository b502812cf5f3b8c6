"""Delivers an answer to the waiting client, as a response or as server-sent events."""

from inference.api.http import streaming
from inference.api.http.request import JSON, Request, whole
from inference.api.responses import answers
from inference.api.responses.events import KEEP_ALIVE, EventWriter
from inference.api.responses.output import Shape
from inference.errors import ServerStopped
from inference.intake.answer_stream import AnswerStream
from inference.stream.frames import Frame, Kind


async def send_response(request: Request, answer: AnswerStream, shape: Shape) -> None:
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        return await send_error(request, frame)
    return await request.answer_json(answers.response(frame, shape))


async def send_events(request: Request, answer: AnswerStream, shape: Shape) -> None:
    writer = EventWriter(shape)

    def last_words() -> bytes:
        error = ServerStopped()
        return writer.failed({"code": error.code, "message": error.message})

    form = streaming.StreamForm(
        streaming.EVENT_STREAM, writer.written, KEEP_ALIVE, last_words, send_error, writer.begun
    )
    await streaming.send(request, answer, form)


async def send_error(request: Request, frame: Frame) -> None:
    wait = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
    await request.answer(frame.body, frame.status, [*JSON, *wait])
