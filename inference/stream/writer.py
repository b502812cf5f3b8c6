"""Writes a runner's frames: those of all its streams within a few milliseconds, in one write.

The first frames of a stream and its last leave immediately, the others QUICK_S after the last
write. Each single token costs every process on its way a wake-up. So fast streams are read together
once in PICTURE_S (`turn`): each makes one frame of the events since then, and one write has all.
Nothing is dropped while Redis is away: unwritten frames stay first in line, and event numbers make
a repeated write harmless for readers. A full Redis gets the frames that readers wait for, and
stores nothing to resume from.
"""

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterator
from typing import Any

from inference.order import Order
from inference.stream import frames
from inference.stream.frames import Frame, joined
from inference.stream.stored_events import StoredEvents
from infrastructure.redis.link import TROUBLE, WHEN_FULL, RedisFull, RedisGone, RedisLink

log = logging.getLogger(__name__)
QUICK_S = 0.002
EAGER = 2  # first events, which do not wait
CHANNEL_LENGTH = 20_000
CHANNEL_EXPIRES_S = 120
CHANNEL_BYTES = 32 * 1024 * 1024  # not read by a web process
CHANNEL_CHECK = 4 * 1024 * 1024  # bytes written between checks
FULL_S = 1.0  # until a full Redis is tried again
KEPT_S = 600  # until a stream without events expires
ENDED_S = 120  # until an ended stream expires
_TO_CHANNEL = (
    WHEN_FULL
    + """
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'f', ARGV[2])
    redis.call('EXPIRE', KEYS[1], ARGV[3])"""
)
Command = tuple[Any, ...]
PICTURE_S = 1 / 60  # a screen does not refresh more often


class Pace:
    """Measures how fast the events of one stream come. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._last = 0.0

    def is_fast(self, count: int, now: float) -> bool:
        """Returns whether to read on only after PICTURE_S; `count` events came since last time."""
        since, self._last = now - self._last, now
        return count > 1 or since < PICTURE_S


class Writer:
    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis
        self._frames: list[tuple[Order, Frame]] = []
        self._latest: dict[bytes, int] = {}  # index of a stream's last frame
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._last_write = self._last_turn = 0.0
        self._urgent = False
        self._turns = asyncio.Event()  # for fast streams
        self._awaited = False  # whether one of them waits
        self._kept = StoredEvents()
        self._in_channel: Counter[str] = Counter()  # bytes since the last check
        self._full_until = 0.0

    def put(self, order: Order, frame: Frame) -> None:
        self._add(order, frame)
        if frame.final or frame.last <= EAGER:
            self._urgent = True
            self._start()
        else:
            self._schedule()

    def _add(self, order: Order, frame: Frame) -> None:
        place = self._latest.get(frame.id)
        if place is not None:
            before = self._frames[place][1]
            if together := joined(before, frame):
                self._frames[place] = order, together
                return
        self._latest[frame.id] = len(self._frames)
        self._frames.append((order, frame))

    def turn(self, last: int, count: int, pace: Pace) -> Awaitable[object] | None:
        """Returns what to wait for before a stream is read on after event `last`."""
        if last <= EAGER:
            return None
        loop = asyncio.get_running_loop()
        if not pace.is_fast(count, loop.time()):
            return None
        if not self._awaited:
            self._awaited = True
            loop.call_later(max(0.0, self._last_turn + PICTURE_S - loop.time()), self._begin_turn)
        return self._turns.wait()

    def _begin_turn(self) -> None:
        self._last_turn, self._awaited = asyncio.get_running_loop().time(), False
        self._turns.set()
        self._turns.clear()

    async def drained(self) -> None:
        """Returns when everything put so far has been written."""
        while self._frames or self._writing:
            self._start()
            if self._writing:
                await asyncio.wait([self._writing])

    async def written(self, stream: bytes) -> None:
        """Returns when every frame of one stream that was put so far has been written."""
        while True:
            self._start()
            if self._writing:
                await asyncio.wait([self._writing])
            if all(frame.id != stream for _, frame in self._frames):
                return

    def _schedule(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            delay = max(0.0, self._last_write + QUICK_S - loop.time())
            self._timer = loop.call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._start()

    def _start(self) -> None:
        if self._writing is None and self._frames:
            self._writing = asyncio.ensure_future(self._write())

    async def _write(self) -> None:
        await asyncio.sleep(0)  # what else this tick of the loop brings goes along
        batch, self._frames, self._urgent = self._frames, [], False
        self._latest.clear()
        self._last_write = asyncio.get_running_loop().time()
        try:
            await self._send_or_wait(batch)
        except (asyncio.CancelledError, GeneratorExit):  # its loop ends: nothing begins anew
            self._frames, self._urgent = [], False
            raise
        finally:
            self._writing = None
            if self._urgent:
                self._start()
            elif self._frames:
                self._schedule()

    async def _send_or_wait(self, batch: list[tuple[Order, Frame]]) -> None:
        try:
            await self._send(_Batch(batch))
        except RedisGone:
            self._frames[:0] = batch
            self._latest.clear()
            await asyncio.sleep(0.2)

    async def _send(self, batch: "_Batch") -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._full_until:
            try:
                await self._redis.many(batch.commands())
                return await self._trim(batch, now)
            except RedisFull as problem:
                log.warning("streams are not kept for resuming: %s", problem)
                self._full_until = now + FULL_S
        for stream_id in batch.kept:
            self._kept.forget(stream_id)
        await self._redis.many(batch.commands_when_full())
        return None

    async def _trim(self, batch: "_Batch", now: float) -> None:
        deletions: dict[bytes, int] = {}
        for stream_id, events in batch.kept.items():
            if events[0].begins:
                self._kept.restart(stream_id)
            lasts = ENDED_S if events[-1].final else KEPT_S
            deletions |= self._kept.add(
                stream_id,
                batch.tenants[stream_id],
                batch.sizes[stream_id],
                events[-1].last,
                ended=events[-1].final,
                until=now + lasts,
            )
        self._kept.forget_expired(now)
        self._in_channel.update(batch.channels)
        with contextlib.suppress(*TROUBLE):  # the next write tries again
            if deletions:
                await self._redis.many([_deletion(*pair) for pair in deletions.items()])
            for name, size in self._in_channel.items():
                if size >= CHANNEL_CHECK:
                    self._in_channel[name] = 0
                    await self._bound(name)

    async def _bound(self, channel: str) -> None:
        """Drop the channel of a web process that does not read: answers are in the record too."""
        if (await self._redis.call("MEMORY", "USAGE", channel) or 0) > CHANNEL_BYTES:
            log.warning("%s has no reader; dropping its frames", channel)
            await self._redis.call("DEL", channel)


class _Batch:
    """Frames for one write, by their readers."""

    def __init__(self, batch: list[tuple[Order, Frame]]) -> None:
        self.readers = defaultdict[str, list[Frame]](list)
        self.kept = dict[bytes, list[Frame]]()
        self.tenants = dict[bytes, bytes]()
        self.sizes = dict[bytes, int]()
        self.channels = dict[str, int]()
        for order, frame in batch:
            if order.reply_to:
                self.readers[order.reply_to].append(frame)
            if order.keeps_events:
                self.kept.setdefault(frame.id, []).append(frame)
                self.tenants[frame.id] = order.tenant_id.bytes
        self.kept = {stream_id: _from_start(events) for stream_id, events in self.kept.items()}

    def commands(self) -> list[Command]:
        commands: list[Command] = []
        for name, data in self._channels():
            commands.append(("XADD", name, "MAXLEN", "~", CHANNEL_LENGTH, "*", "f", data))
            commands.append(("EXPIRE", name, CHANNEL_EXPIRES_S))
        for events in self.kept.values():
            commands += self._history(events)
        return commands

    def commands_when_full(self) -> list[Command]:
        """Returns commands that also delete stored events, which would get a gap."""
        commands: list[Command] = [("DEL", frames.history(stream_id)) for stream_id in self.kept]
        for name, data in self._channels():
            commands.append(("EVAL", _TO_CHANNEL, 1, name, CHANNEL_LENGTH, data, CHANNEL_EXPIRES_S))
        return commands

    def _channels(self) -> Iterator[tuple[str, bytes]]:
        for web, web_frames in self.readers.items():
            name = frames.channel(web)
            data = frames.encrypted(web_frames, name.encode())
            self.channels[name] = len(data)
            yield name, data

    def _history(self, events: list[Frame]) -> list[Command]:
        """Returns commands; entry ids are event numbers, so Redis refuses a repeated number."""
        name = frames.history(events[0].id)
        data = frames.encrypted(events, name.encode())
        self.sizes[events[0].id] = len(data)
        lasts = ENDED_S if events[-1].final else KEPT_S
        again: list[Command] = [("DEL", name)] if events[0].begins else []
        return [
            *again,
            ("XADD", name, f"{events[-1].last}-0", "f", data),
            ("EXPIRE", name, lasts),
        ]


def _from_start(events: list[Frame]) -> list[Frame]:
    """Returns the frames from the last start: event 1 begins a stream anew."""
    if len(events) == 1:
        return events
    starts = [i for i, frame in enumerate(events) if frame.begins]
    return events[starts[-1] :] if starts else events


def _deletion(stream_id: bytes, upto: int) -> Command:
    name = frames.history(stream_id)
    return ("XTRIM", name, "MINID", f"{upto + 1}-0") if upto else ("DEL", name)
