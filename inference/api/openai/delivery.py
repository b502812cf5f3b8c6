"""Step 7: bringing an answer to the client that waits, as JSON or as server-sent events."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from inference.api.openai import quotas
from inference.api.openai.http import ClientGone, Request
from inference.intake.gateway import Gateway
from inference.intake.recovery import recover
from inference.order import Order
from inference.stream.frames import Frame, Kind
from inference.stream.sink import Sink, numbered

EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
LOOK_AROUND_S = 3.0  # silence after which we check whether the answer went astray
FIRST_EVENT_S = 10.0  # so long an error can still have its own HTTP status
KEEP_ALIVE_S = 15.0


async def arrivals(
    gateway: Gateway, request: Request, order: Order, sink: Sink
) -> AsyncGenerator[Frame | None]:
    """Frames up to the final one; None after LOOK_AROUND_S of silence.

    A client that goes away ends it: its generation is cancelled. Raises ClientGone.
    """
    watch = asyncio.create_task(request.gone())
    watch.add_done_callback(lambda _: sink.hang_up())
    try:
        while True:
            frame = await sink.next(LOOK_AROUND_S)
            if sink.hung_up:
                raise ClientGone
            if frame is None:
                await recover(gateway, order, sink)
            yield frame
            if frame and frame.final:
                return
    finally:
        watch.cancel()
        gateway.leave(order)
        if not sink.finished:
            gateway.cancel(order)


async def whole(gateway: Gateway, request: Request, order: Order, sink: Sink) -> Frame:
    """The final frame of an answer that comes in one piece."""
    async with contextlib.aclosing(arrivals(gateway, request, order, sink)) as frames:
        async for frame in frames:
            if frame and frame.final:
                return frame
    raise ClientGone


async def send_json(gateway: Gateway, request: Request, order: Order, sink: Sink) -> None:
    frame = await whole(gateway, request, order, sink)
    if sink.verdict.left:
        request.extra += quotas.headers_after(sink.verdict, order, quotas.usage_in(frame))
    await _answer(request, frame)


async def _answer(request: Request, frame: Frame) -> None:
    headers = [(b"content-type", b"application/json")]
    if frame.retry_after:
        headers.append((b"retry-after", b"%d" % frame.retry_after))
    await request.answer(frame.body, frame.status, headers)


async def send_events(gateway: Gateway, request: Request, order: Order, sink: Sink) -> None:
    try:
        await _send_events(gateway, request, order, sink)
    except asyncio.CancelledError:  # this process stops
        if request.started:
            await request.write(_STOPPED, more=False)
        raise


_STOPPED = (
    b'data: {"error":{"message":"this server stops; read on with Last-Event-ID, or send it again",'
    b'"type":"server_error","param":null,"code":"server_stopped"}}\n\ndata: [DONE]\n\n'
)


async def _send_events(gateway: Gateway, request: Request, order: Order, sink: Sink) -> None:
    began = spoken = time.monotonic()
    async with contextlib.aclosing(arrivals(gateway, request, order, sink)) as frames:
        async for frame in frames:
            now = time.monotonic()
            if not request.started:
                if frame and frame.kind == Kind.ERROR:
                    await _answer(request, frame)
                    return
                if frame is None and now - began < FIRST_EVENT_S:
                    continue
                await request.start(200, EVENT_STREAM)
            if frame:
                await request.write(event_bytes(frame), more=not frame.final)
                spoken = now
            elif now - spoken > KEEP_ALIVE_S:
                await request.write(b": keep-alive\n\n")
                spoken = now


def event_bytes(frame: Frame) -> bytes:
    """An error in mid-stream is an error event, then [DONE]: never a false finish reason."""
    if frame.kind == Kind.ERROR:
        return b"id: %d\ndata: %b\n\ndata: [DONE]\n\n" % (frame.last, frame.body)
    return numbered(frame)
