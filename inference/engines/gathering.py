"""Streams of an engine that computes on our own processors: read together, step by step.

Whoever wakes takes a processor from the engine, whose other threads wait for the one that lost it.
Such an engine says the tokens of all its streams within a few milliseconds of a step. The first of
them holds the others' sockets, so that one wake-up reads them all; while steps are shorter than
PICTURE_S, several of them are read at once. What has just begun does not wait, nor does an end that
closes its connection, as llama.cpp's do.
"""

import asyncio
from typing import Protocol

STEP_S = 0.004  # in which all streams have said their token: 16 take 2 ms
PICTURE_S = 1 / 30
AT_ONCE = 2  # events of a stream


class Held(Protocol):
    """One stream."""

    def hold(self, *, on: bool) -> None:
        """While it is held nothing of it wakes us, but its end."""

    def deliver(self) -> int:
        """Wakes its reader, if something has come: how many events."""


class Gathering:
    """Of one runner. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._streams: set[Held] = set()
        self._timer: asyncio.TimerHandle | None = None  # until all has been delivered
        self._holds = False
        self._last = 0.0

    def join(self, stream: Held) -> None:
        self._streams.add(stream)
        if self._holds:
            stream.hold(on=True)

    def leave(self, stream: Held) -> None:
        self._streams.discard(stream)
        stream.hold(on=False)
        if self._timer and not self._streams:
            self._timer.cancel()
            self._timer, self._holds = None, False

    def came(self) -> None:
        """Something of a stream, which it keeps until `deliver`."""
        if self._timer is None:
            self._hold(asyncio.get_running_loop().time() + STEP_S)

    def _hold(self, until: float) -> None:
        self._holds = True
        for stream in self._streams:
            stream.hold(on=True)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(until, self._last + PICTURE_S), self._let_come)

    def _let_come(self) -> None:
        self._holds = False
        for stream in self._streams:
            stream.hold(on=False)
        # The loop has read what was held once it has been round.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._deliver)

    def _deliver(self) -> None:
        self._timer, self._last = None, asyncio.get_running_loop().time()
        if max([stream.deliver() for stream in list(self._streams)], default=0) > 1:
            self._hold(self._last)  # fast: the next ones can wait for each other
