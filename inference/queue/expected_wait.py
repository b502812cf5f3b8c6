"""How long a request that joins a pool's queue now would wait, as this process was told last.

Redis tells it with each request that joins, and line_watch.py asks again while something waits.
Nothing here asks anybody: routing looks it up for each request.
"""

import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec

from inference import classes

_PACE = struct.Struct("<B5d")  # pace.lua
_FREE, _FULL, _WAITS = 0, 1, 2
LONGEST_S = 120.0  # without a start: a pool whose runners are gone does not seem slow for ever


class Line(msgspec.Struct, frozen=True):
    """Of one pool. `interval_s`: from one start to the next while others wait, 0 if unknown.

    `begun` counts the requests that have left while others waited.
    """

    full: bool = False  # no slot is free
    interval_s: float = 0.0
    begun: float = 0
    waiting: Mapping[str, int] = {}  # by class
    at: float = msgspec.field(default_factory=time.monotonic)

    @classmethod
    def of(cls, pace: bytes, waiting: Mapping[str, int], now_ms: int = 0) -> Self:
        """As the queue's scripts tell it; with `now_ms` a start that is overdue counts."""
        if not pace:
            return cls(waiting=waiting)
        flag, at, starts, busy, first, begun = _PACE.unpack(pace)
        counts = now_ms and (flag == _WAITS or (flag == _FULL and not starts))
        passed = min(max(0.0, now_ms - at), LONGEST_S * 1000) if counts else 0.0
        return cls(flag != _FREE, _start_s(starts, busy, first, passed), begun, waiting)

    @classmethod
    def told(cls, answer: Sequence[Any]) -> Self:
        """By waiting.lua."""
        pace, now_ms, *waiting = answer
        return cls.of(pace, _counts(classes.names(), waiting), now_ms)

    def before(self, klass: str) -> int:
        """How many wait that one of this class has to wait for."""
        waiting = self.waiting
        return sum([waiting.get(each, 0) for each in classes.above(klass)], waiting.get(klass, 0))

    def in_turns(self, klass: str, own: int, tenants: int) -> int:
        """Position of the last of a tenant's `own` requests: the tenants of a class take turns."""
        of_class = self.waiting.get(klass, 0)
        return self.before(klass) - of_class + max(own, min(of_class, own * tenants))

    def wait_s(self, places: int) -> float:
        """Until so many have begun; 0 while a slot is free."""
        passed = time.monotonic() - self.at
        return max(0.0, places * self.interval_s - passed) if self.full else 0.0

    @property
    def is_empty(self) -> bool:
        return not any(self.waiting.values())


def _start_s(starts: float, busy_ms: float, first: float, passed_ms: float) -> float:
    """Time since the last start is part of an interval, until it is longer than their mean."""
    if first:
        return (busy_ms + passed_ms) / (starts + first) / 1000
    if not starts:
        return 0.0
    return max(busy_ms / starts, (busy_ms + passed_ms) / (starts + 1)) / 1000


class Place(msgspec.Struct, frozen=True):
    """Where a request joined. 1 is next; 0: it had not to wait."""

    position: int = 0
    wait_s: float = 0.0
    begun: float = 0
    klass: str = ""  # of work

    def now(self, pool: str) -> "Place":
        """By what this process knows of the pool by now."""
        line = line_of(pool)
        if not self.position:
            return self
        gone = int(max(0, line.begun - self.begun))
        # Those who left without having begun show in how many wait at all.
        position = max(1, min(self.position - gone, line.before(self.klass)))
        return msgspec.structs.replace(self, position=position, wait_s=line.wait_s(position))


AT_ONCE = Place()
_lines: dict[str, Line] = {}  # by pool


def joined(pool: str, klass: str, told: Sequence[Any], slots: int) -> Place:
    """A request did, as its last; `told`: by enqueue.lua. Learns what is told of the pool.

    `slots` of its engines. What comes at once may fill them before any runner has said so.
    """
    if not told:  # a slot was free
        _lines[pool] = Line()
        return AT_ONCE
    pace, running, own, tenants, *counts = told
    known = line_of(pool)
    waiting = {**known.waiting, **_counts([*classes.above(klass), klass], counts)}
    line = Line.of(pace, waiting)
    if line.begun == known.begun and line.interval_s < known.interval_s:
        line = Line(line.full, known.interval_s, line.begun, waiting)  # the last look saw delays
    _lines[pool] = line
    room = 0 if line.full else max(0, slots - int(running))
    position = max(0, line.in_turns(klass, int(own), int(tenants)) - room)
    return Place(position, position * line.interval_s, line.begun, klass)


def looked(pool: str, told: Sequence[Any]) -> Line:
    """By waiting.lua."""
    _lines[pool] = line = Line.told(told)
    return line


def _counts(names: Sequence[str], told: Sequence[Any]) -> dict[str, int]:
    return {name: max(0, int(n)) for name, n in zip(names, told, strict=True)}


def line_of(pool: str) -> Line:
    return _lines.get(pool) or Line()


def expected(pool: str, klass: str) -> float:
    """Seconds; 0.0 where nothing is known."""
    line = _lines.get(pool)
    return line.wait_s(line.before(klass)) if line else 0.0


def waiting(pool: str, klass: str) -> int:
    """Requests of this class alone."""
    return line_of(pool).waiting.get(klass, 0)


def forget() -> None:
    """For tests."""
    _lines.clear()
