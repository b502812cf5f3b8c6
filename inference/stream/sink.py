"""Where the frames of one completion arrive in the web process that waits for them."""

import asyncio
from collections import deque

import msgspec

from inference.stream.frames import Frame, Kind
from tenants.quotas.verdict import NO_QUOTA


class Sink:
    """Lets every event through once, in order, whoever sends it again."""

    def __init__(self) -> None:
        self.last = 0  # number of the last event taken
        self.attempt = 0
        self.finished = False
        self.hung_up = False  # the client has gone
        self.verdict = NO_QUOTA  # what quotas said of the request
        self.payload_sha256 = ""  # of its sealed text on record
        self._frames: deque[Frame] = deque()
        self._more = asyncio.Event()

    def put(self, frame: Frame) -> None:
        if self.finished or frame.attempt < self.attempt:
            return
        if frame.begins and self.last and frame.attempt > self.attempt:
            frame = restarted(frame, self.last)
        self.attempt = frame.attempt
        fresh = frame if frame.kind in (Kind.BODY, Kind.ERROR) else unseen(frame, self.last)
        if fresh is None:
            return
        self.last, self.finished = max(self.last, frame.last), frame.final
        self._frames.append(fresh)
        self._more.set()

    def hang_up(self) -> None:
        self.hung_up = True
        self._more.set()

    async def next(self, timeout_s: float) -> Frame | None:
        """The next frame; None when none came in time, or nobody is left to read it."""
        if not self._frames and not self.hung_up:
            self._more.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._more.wait()
            except TimeoutError:
                return None
        return self._frames.popleft() if self._frames and not self.hung_up else None


def restarted(frame: Frame, last: int) -> Frame:
    """A new attempt that knows nothing of what the reader has had must not be joined to it."""
    message = b"the answer was interrupted and had to begin anew; send the request again"
    body = (
        b'{"error":{"message":"%b","type":"server_error","param":null,"code":"stream_lost"}}'
        % message
    )
    return Frame(frame.id, frame.attempt, last + 1, Kind.ERROR, body, 502)


def unseen(frame: Frame, last: int) -> Frame | None:
    """The frame without the events up to number `last`.

    None when nothing is left, and for what comes after a gap: events are never skipped.
    """
    if frame.last <= last:
        return None
    events = frame.body.split(b"\n\n")[:-1]
    first = frame.last - len(events) + 1
    if first > last + 1:
        return None
    if first == last + 1:
        return frame
    fresh = b"\n\n".join(events[last - first + 1 :]) + b"\n\n"
    return msgspec.structs.replace(frame, body=fresh)


def numbered(frame: Frame) -> bytes:
    """The frame's events with their numbers as SSE ids, for `Last-Event-ID`."""
    events = frame.body.split(b"\n\n")[:-1]
    first = frame.last - len(events) + 1
    return b"".join(b"id: %d\n%b\n\n" % (first + i, event) for i, event in enumerate(events))
