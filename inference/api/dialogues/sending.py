"""Writes the events of a dialogue as server-sent events."""

import contextlib
import time

import orjson

from inference.api.dialogues.callers import party_of
from inference.api.dialogues.feed import Event, Feed
from inference.api.http.request import Request, watched
from inference.api.http.streaming import EVENT_STREAM
from inference.errors import ApiError
from inference.intake.answer_stream import ReaderGone

SILENCE_S = 15.0
EVERY_S = 30.0  # the reader's key or token is checked again
_KEEP_ALIVE = b": keep-alive\n\n"


async def send_events(request: Request, feed: Feed) -> None:
    """Stream the events while the client reads. What is under way goes on without it.

    Raises ApiError once the reader may not read any more.
    """
    spoken = checked = time.monotonic()
    with watched(request) as closed:
        async with contextlib.aclosing(feed.events()) as events:
            async for event in events:
                if closed.done():
                    raise ReaderGone
                if time.monotonic() - checked > EVERY_S:
                    await party_of(request)
                    checked = time.monotonic()
                if not request.started:
                    await request.start(200, EVENT_STREAM)
                text = written(event) if event else b""
                if not text and time.monotonic() - spoken > SILENCE_S:
                    text = _KEEP_ALIVE
                if text:
                    await request.write(text)
                    spoken = time.monotonic()
    await request.write(b"", more=False)


def written(event: Event) -> bytes:
    head = f"id: {event.id}\n" if event.id else ""
    return f"{head}event: {event.name}\n".encode() + b"data: " + orjson.dumps(event.data) + b"\n\n"


def last_words(error: ApiError) -> bytes:
    """Returns the end of a stream that breaks off. It goes on with Last-Event-ID."""
    return b"event: error\ndata: %b\n\n" % error.body()
