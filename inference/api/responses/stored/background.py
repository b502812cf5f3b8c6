"""`background: true`: the request is admitted, and goes on without its client."""

from inference.api.http.request import Request
from inference.api.responses import output
from inference.api.responses.output import Shape
from inference.intake.answer_stream import AnswerStream


async def answer(request: Request, stream: AnswerStream, shape: Shape) -> None:
    """Answer with the queued response."""
    stream.leave()
    await request.answer_json(shape.response(output.QUEUED))
