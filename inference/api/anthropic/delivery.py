"""Delivers an answer to the waiting client, as a message or as server-sent events."""

from inference.api.anthropic import answers, errors
from inference.api.anthropic.answers import Thoughts
from inference.api.anthropic.events import PING, EventWriter
from inference.api.http import streaming
from inference.api.http.request import JSON, Request, whole
from inference.errors import ServerStopped
from inference.intake.answer_stream import AnswerStream
from inference.stream.frames import Frame, Kind


async def send_message(request: Request, answer: AnswerStream, thoughts: Thoughts) -> None:
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        return await _send_error(request, frame)
    body = answers.message(frame, answer.order, thoughts)
    return await request.answer(body)


async def send_events(request: Request, answer: AnswerStream, thoughts: Thoughts) -> None:
    identity, request_id = answers.message_id(answer.order.id.hex), request.call.request_id
    writer = EventWriter(identity, answer.order, thoughts)

    def last_words() -> bytes:
        error = ServerStopped()
        error.request_id = request_id
        return errors.last_words(error)

    def written(frame: Frame) -> bytes:
        return writer.written(frame, request_id)

    form = streaming.StreamForm(streaming.EVENT_STREAM, written, PING, last_words, _send_error)
    await streaming.send(request, answer, form)


async def _send_error(request: Request, frame: Frame) -> None:
    body = errors.frame_body(frame, request.call.request_id)
    wait = [(b"retry-after", b"%d" % frame.retry_after)] if frame.retry_after else []
    await request.answer(body, frame.status, [*JSON, *wait])
