"""Reads all streams of an engine on this machine's processors together, step by step.

A process that wakes takes a processor from the engine, whose other threads wait for the one that
lost it. Such an engine sends the tokens of all its streams within a few milliseconds of a step. The
first of them holds the others' sockets, so that one wake-up reads them all; while steps are shorter
than PICTURE_S, several of them are read together. A stream that has just begun does not wait, nor
does an end that closes its connection, as llama.cpp's do.
"""

import asyncio
from typing import Protocol

STEP_S = 0.004  # all streams send their token within it: 16 take 2 ms
PICTURE_S = 1 / 30
ALONE_EVENTS = 2  # events of a stream before it joins


class Held(Protocol):
    """One stream."""

    def hold(self, *, on: bool) -> None:
        """Let only the stream's end wake this process while it is held."""

    def deliver(self) -> int:
        """Wake its reader if bytes have arrived. Returns the number of events."""


class Gathering:
    """The streams of one runner. Times are the event loop's, in seconds."""

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
        """Note that bytes of a stream have arrived, which it keeps until `deliver`."""
        if self._timer is None:
            self._hold(asyncio.get_running_loop().time() + STEP_S)

    def _hold(self, until: float) -> None:
        self._holds = True
        for stream in self._streams:
            stream.hold(on=True)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(until, self._last + PICTURE_S), self._release)

    def _release(self) -> None:
        self._holds = False
        for stream in self._streams:
            stream.hold(on=False)
        # One round later the loop has read the held bytes.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._deliver)

    def _deliver(self) -> None:
        self._timer, self._last = None, asyncio.get_running_loop().time()
        if max([stream.deliver() for stream in list(self._streams)], default=0) > 1:
            self._hold(self._last)  # steps are fast: hold the next events too
