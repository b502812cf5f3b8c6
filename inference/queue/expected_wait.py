"""The expected wait of a request that joins a pool's queue now, by the last known figures.

Redis returns the figures with each request that joins, and queues.py reads them again while
something waits. Routing looks them up here for each request, without a round trip.
"""

import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec

from inference import classes

_PACE = struct.Struct("<B5d")  # pace.lua
_FREE, _FULL, _WAITS = 0, 1, 2
LONGEST_S = 120.0  # a longer time without a start does not count: perhaps there is no runner


class QueueFigures(msgspec.Struct, frozen=True):
    """The queue of one pool. `interval_s` is the time between starts while others wait, or 0.

    `begun` counts the requests that have left while others waited.
    """

    full: bool = False  # no slot is free
    interval_s: float = 0.0
    begun: float = 0
    waiting: Mapping[str, int] = {}  # by class
    at: float = msgspec.field(default_factory=time.monotonic)

    @classmethod
    def of(cls, pace: bytes, waiting: Mapping[str, int], now_ms: int = 0) -> Self:
        """Decode the queue's pace. With `now_ms` the time since an overdue start counts."""
        if not pace:
            return cls(waiting=waiting)
        flag, at, starts, busy, first, begun = _PACE.unpack(pace)
        counts = now_ms and (flag == _WAITS or (flag == _FULL and not starts))
        passed = min(max(0.0, now_ms - at), LONGEST_S * 1000) if counts else 0.0
        return cls(flag != _FREE, _start_s(starts, busy, first, passed), begun, waiting)

    @classmethod
    def parsed(cls, answer: Sequence[Any]) -> Self:
        """Parse the answer of waiting.lua."""
        pace, now_ms, *waiting = answer
        return cls.of(pace, _counts(classes.names(), waiting), now_ms)

    def before(self, klass: str) -> int:
        """Returns how many wait that come before a new one of this class."""
        waiting = self.waiting
        return sum([waiting.get(each, 0) for each in classes.above(klass)], waiting.get(klass, 0))

    def in_turns(self, klass: str, own: int, tenants: int) -> int:
        """Position of the last of a tenant's `own` requests: the tenants of a class take turns."""
        of_class = self.waiting.get(klass, 0)
        return self.before(klass) - of_class + max(own, min(of_class, own * tenants))

    def wait_s(self, position: int) -> float:
        """Returns the seconds until so many have begun; 0 while a slot is free."""
        passed = time.monotonic() - self.at
        return max(0.0, position * self.interval_s - passed) if self.full else 0.0

    @property
    def is_empty(self) -> bool:
        return not any(self.waiting.values())


def _start_s(starts: float, busy_ms: float, first: float, passed_ms: float) -> float:
    """Returns the seconds between starts, including the time since the last if that is longer."""
    if first:
        return (busy_ms + passed_ms) / (starts + first) / 1000
    if not starts:
        return 0.0
    return max(busy_ms / starts, (busy_ms + passed_ms) / (starts + 1)) / 1000


class Place(msgspec.Struct, frozen=True):
    """The position where a request joined: 1 is next, 0 did not have to wait."""

    position: int = 0
    wait_s: float = 0.0
    begun: float = 0
    klass: str = ""  # of work
    pool: str = ""
    tenant: str = ""

    def behind(self, ahead: int, pool: str) -> "Place":
        """Returns the place behind so many requests of its class, and all of higher classes."""
        figures = figures_of(pool)
        above = figures.before(self.klass) - figures.waiting.get(self.klass, 0)
        position = above + ahead + 1
        return msgspec.structs.replace(self, position=position, wait_s=figures.wait_s(position))

    def now(self, pool: str) -> "Place":
        """Returns the place by what this process knows of the pool now."""
        figures = figures_of(pool)
        if not self.position:
            return self
        started = int(max(0, figures.begun - self.begun))
        # Those that left without having begun are missing among those that wait.
        position = max(1, min(self.position - started, figures.before(self.klass)))
        return msgspec.structs.replace(
            self, position=position, wait_s=figures.wait_s(position), pool=pool
        )


NO_WAIT = Place()
_figures: dict[str, QueueFigures] = {}  # by pool


def joined(pool: str, klass: str, answer: Sequence[Any], slots: int) -> Place:
    """Returns the place of a request that just joined, and learns the pool's figures.

    `answer` is that of enqueue.lua, `slots` the number of its engines'. Requests that come at the
    same time may fill them before a runner reports it.
    """
    if not answer:  # a slot was free
        _figures[pool] = QueueFigures()
        return NO_WAIT
    pace, running, own, tenants, *counts = answer
    last = figures_of(pool)
    waiting = {**last.waiting, **_counts([*classes.above(klass), klass], counts)}
    figures = QueueFigures.of(pace, waiting)
    if figures.begun == last.begun and figures.interval_s < last.interval_s:
        # The last reading included delays.
        figures = QueueFigures(figures.full, last.interval_s, figures.begun, waiting)
    _figures[pool] = figures
    room = 0 if figures.full else max(0, slots - int(running))
    position = max(0, figures.in_turns(klass, int(own), int(tenants)) - room)
    return Place(position, position * figures.interval_s, figures.begun, klass, pool)


def learn(pool: str, answer: Sequence[Any]) -> QueueFigures:
    """Learn the figures in an answer of waiting.lua."""
    _figures[pool] = figures = QueueFigures.parsed(answer)
    return figures


def _counts(names: Sequence[str], numbers: Sequence[Any]) -> dict[str, int]:
    return {name: max(0, int(n)) for name, n in zip(names, numbers, strict=True)}


def figures_of(pool: str) -> QueueFigures:
    return _figures.get(pool) or QueueFigures()


def expected(pool: str, klass: str) -> float:
    """Returns the expected seconds; 0.0 if nothing is known."""
    figures = _figures.get(pool)
    return figures.wait_s(figures.before(klass)) if figures else 0.0


def waiting(pool: str, klass: str) -> int:
    """Returns the waiting requests of this class alone."""
    return figures_of(pool).waiting.get(klass, 0)


def forget() -> None:
    """Drop all figures, for tests."""
    _figures.clear()
