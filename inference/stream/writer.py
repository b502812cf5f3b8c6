"""A runner's way out: frames of all its streams, gathered for a few milliseconds, in one write.

The first frames of a stream and its last go at once; in between a write leaves every TICK_S.
Nothing is dropped while Redis is away: unwritten frames stay first in line, event numbers make
a repeated write harmless on the other side.
"""

import asyncio
from collections import defaultdict
from typing import Any

from inference.order import Order
from inference.stream import frames
from inference.stream.frames import Frame
from tenants.redis_link import RedisGone, RedisLink

TICK_S = 0.008
EAGER = 2  # events that do not wait for the tick
CHANNEL_LENGTH = 20_000
CHANNEL_EXPIRES_S = 120
KEPT_S = 600  # how long a stream that stands still can be resumed
ENDED_S = 120  # and one that has ended


class Writer:
    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis
        self._frames: list[tuple[Order, Frame]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._last_write = 0.0
        self._urgent = False

    def put(self, order: Order, frame: Frame) -> None:
        self._frames.append((order, frame))
        if frame.final or frame.last <= EAGER:
            self._urgent = True
            self._start()
        else:
            self._schedule()

    async def drained(self) -> None:
        """Returns when everything put so far has been written."""
        while self._frames or self._writing:
            self._start()
            if self._writing:
                await asyncio.wait([self._writing])

    def _schedule(self) -> None:
        if self._timer is None and self._writing is None:
            loop = asyncio.get_running_loop()
            due = max(0.0, self._last_write + TICK_S - loop.time())
            self._timer = loop.call_later(due, self._start)

    def _start(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._writing is None and self._frames:
            self._writing = asyncio.ensure_future(self._write())

    async def _write(self) -> None:
        await asyncio.sleep(0)  # what else this tick of the loop brings goes along
        batch, self._frames, self._urgent = self._frames, [], False
        self._last_write = asyncio.get_running_loop().time()
        try:
            await self._redis.many(_commands(batch))
        except RedisGone:
            self._frames[:0] = batch
            await asyncio.sleep(0.2)
        finally:
            self._writing = None
        if self._urgent:
            self._start()
        elif self._frames:
            self._schedule()


def _commands(batch: list[tuple[Order, Frame]]) -> list[tuple[Any, ...]]:
    by_reader, kept = defaultdict[str, list[Frame]](list), dict[bytes, list[Frame]]()
    for order, frame in batch:
        if order.reply_to:
            by_reader[order.reply_to].append(frame)
        if order.keeps_events:
            kept.setdefault(frame.id, []).append(frame)
    commands: list[tuple[Any, ...]] = []
    for web, theirs in by_reader.items():
        name = frames.channel(web)
        data = frames.sealed(theirs, name.encode())
        commands.append(("XADD", name, "MAXLEN", "~", CHANNEL_LENGTH, "*", "f", data))
        commands.append(("EXPIRE", name, CHANNEL_EXPIRES_S))
    for events in kept.values():
        commands += _history(events)
    return commands


def _history(events: list[Frame]) -> list[tuple[Any, ...]]:
    """Entry ids are event numbers: Redis itself refuses a number that is there already.

    Frames from event 1 on replace the whole: a start, or everything again after a loss.
    """
    name = frames.history(events[0].id)
    starts = [i for i, frame in enumerate(events) if frame.begins]
    commands: list[tuple[Any, ...]] = []
    if starts:
        events = events[starts[-1] :]
        commands.append(("DEL", name))
    data = frames.sealed(events, name.encode())
    commands.append(("XADD", name, f"{events[-1].last}-0", "f", data))
    commands.append(("EXPIRE", name, ENDED_S if events[-1].final else KEPT_S))
    return commands
