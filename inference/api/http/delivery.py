"""Waits for an answer as long as its client does, for every HTTP front end."""

import asyncio
import contextlib
from collections.abc import Iterator

from inference.api.http.request import Request
from inference.intake.answer_stream import AnswerStream
from inference.stream.frames import Frame


@contextlib.contextmanager
def watched(request: Request) -> Iterator[asyncio.Task[None]]:
    """Yields a task that is done when the client has disconnected."""
    closed = asyncio.create_task(request.wait_until_closed())
    try:
        yield closed
    finally:
        closed.cancel()


@contextlib.contextmanager
def attended(request: Request, answer: AnswerStream) -> Iterator[None]:
    """Let the answer end with ReaderGone when the client disconnects."""
    if request.call_when_closed(answer.hang_up):
        try:
            yield
        finally:
            request.call_when_closed(None)
        return
    with watched(request) as closed:
        closed.add_done_callback(lambda _: answer.hang_up())
        yield


async def whole(request: Request, answer: AnswerStream) -> Frame:
    """Returns the final frame of an answer in one piece. Raises ReaderGone."""
    with attended(request, answer):
        frame = await answer.whole()
    request.call.tell_whole(answer, frame)
    return frame
