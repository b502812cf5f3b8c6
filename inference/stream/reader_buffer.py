"""Buffers the frames of one completion in a web process until its reader takes them."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable

from inference.stream.frames import Frame, Kind, error_frame, repeats_events, restarted, unseen

STREAM_BYTES = 4 * 1024 * 1024
TENANT_BYTES = 32 * 1024 * 1024
PROCESS_BYTES = 128 * 1024 * 1024
TOO_SLOW = (
    "this stream was read too slowly; read on at /v1/completions/{id}/events with Last-Event-ID"
)


class ReaderBuffer:
    """Delivers each event once and in order, even if it is sent again."""

    def __init__(self, tenant: bytes = b"", backlog: "Backlog | None" = None) -> None:
        self.tenant = tenant
        self.waiting = 0  # bytes
        self.dropped = False  # its reader was too slow
        self.last = 0  # number of the last event taken
        self.attempt = 0
        self.finished = False
        self.hung_up = False  # the client has gone
        self.ended_at = 0.0  # when its record was first seen to have ended, by the loop's clock
        self._backlog = backlog or Backlog()
        self._delivered = 0  # number of the last event that the reader has
        self._frames: deque[Frame] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, frame: Frame) -> None:
        if self.finished or frame.attempt < self.attempt:
            return
        if frame.attempt > self.attempt and repeats_events(frame, self.last):
            frame = restarted(frame, self.last)
        self.attempt = frame.attempt
        fresh = frame if frame.kind in (Kind.BODY, Kind.ERROR) else unseen(frame, self.last)
        if fresh is None:
            return
        self.last, self.finished = max(self.last, frame.last), frame.final
        self._frames.append(fresh)
        self._wake()
        self._backlog.add(self, len(fresh.body))

    def drop(self) -> None:
        """Drop the frames of a reader that is too slow: it can resume from its last event.

        It may be called only while a stream of the backlog changes.
        """
        if any(frame.kind == Kind.BODY for frame in self._frames):
            return  # a whole answer is taken right away
        self.forget()
        self.dropped = self.finished = True
        self._frames.append(error_frame(self._delivered, 503, "slow_reader", TOO_SLOW))
        self._wake()

    def forget(self) -> None:
        """Drop waiting frames that nobody will read."""
        self._frames.clear()
        self._backlog.take(self, self.waiting)

    def hang_up(self) -> None:
        self.hung_up = True
        self._wake()

    async def next(self, timeout_s: float) -> Frame | None:
        """Returns the next frame; None if none came in time, or the client has gone."""
        if not self._frames and not self.hung_up:
            await self._wait(timeout_s)
        if self.hung_up or not self._frames:
            return None
        frame = self._frames.popleft()
        if not self.dropped:
            self._backlog.take(self, len(frame.body))
        self._delivered = max(self._delivered, frame.last)
        return frame

    async def _wait(self, timeout_s: float) -> None:
        """Wait for a frame. It costs less than an event and asyncio.timeout for each."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class Backlog:
    """Bounds the bytes that wait in a web process for slow clients: by stream, tenant and process.

    Over a bound the largest stream is dropped: its reader gets an error event instead of the
    waiting ones, and resumes with `Last-Event-ID`. Its generation goes on.
    """

    def __init__(self) -> None:
        self._streams: set[ReaderBuffer] = set()  # those with waiting bytes
        self.bytes: Counter[bytes] = Counter()  # by tenant
        self.total = 0

    def add(self, stream: ReaderBuffer, size: int) -> None:
        self._streams.add(stream)
        self._count(stream, size)
        if stream.waiting > STREAM_BYTES:
            stream.drop()
        if self.bytes[stream.tenant] > TENANT_BYTES:
            _drop_largest(other for other in self._streams if other.tenant == stream.tenant)
        if self.total > PROCESS_BYTES:
            _drop_largest(self._streams)

    def take(self, stream: ReaderBuffer, size: int) -> None:
        self._count(stream, -size)
        if not stream.waiting:
            self._streams.discard(stream)

    def _count(self, stream: ReaderBuffer, size: int) -> None:
        stream.waiting += size
        self.total += size
        self.bytes[stream.tenant] += size
        if not self.bytes[stream.tenant]:
            del self.bytes[stream.tenant]


def _drop_largest(streams: Iterable[ReaderBuffer]) -> None:
    max(streams, key=lambda stream: stream.waiting).drop()
