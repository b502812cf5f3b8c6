"""Chooses the clock of a GPU by its load, from what a sweep of it has measured.

Energy for a token falls with the clock, and rises again where the GPU works longer for it: a U. At
each load the choice is the clock with the least energy among those that keep the slowest requests
(p99) within the bound.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from inference.energy.peaks import Peaks

HOLD_S = 600.0  # of low load, before the clock goes down: each change is on record
EIGHTHS = (1, 2, 3, 4, 6, 8)  # of the slots, which a sweep measures beside a single request


class Point(msgspec.Struct, frozen=True):
    """A measurement: so many requests at once, at this clock."""

    requests: int
    mhz: int
    joules_per_token: float
    tokens_per_s: float
    answer_p99_ms: float  # of whole answers
    first_token_p99_ms: float


class Bound(msgspec.Struct, frozen=True):
    """`slower`: how much slower than at the best clock the p99 of whole answers may be.

    First tokens may be as much slower, or take `first_token_ms`: prefill feels the clock most, and
    is a small part of an answer.
    """

    slower: float = 0.03
    first_token_ms: float = 0.0


class Level(msgspec.Struct, frozen=True):
    """The clock for up to so many requests at once. 0 MHz: the driver's own."""

    requests: int
    mhz: int


def loads(slots: int) -> list[int]:
    """Returns the requests at once that a sweep measures."""
    return sorted({1, *(max(1, slots * eighths // 8) for eighths in EIGHTHS)})


def levels(points: Iterable[Point], bound: Bound) -> list[Level]:
    """Returns a clock for each load of a sweep, the least load first."""
    ordered = sorted(points, key=lambda point: (point.requests, point.mhz))
    by_load = groupby(ordered, key=lambda point: point.requests)
    return [Level(requests, _best(list(at_load), bound)) for requests, at_load in by_load]


def _best(points: Sequence[Point], bound: Bound) -> int:
    # Not of the highest clock: one late answer there would allow every other clock to be as late.
    answer_ms = min(point.answer_p99_ms for point in points) * (1 + bound.slower)
    start_ms = min(point.first_token_p99_ms for point in points) * (1 + bound.slower)
    start_ms = max(start_ms, bound.first_token_ms)
    within = [
        point
        for point in points
        if point.answer_p99_ms <= answer_ms and point.first_token_p99_ms <= start_ms
    ]
    fastest = points[-1]
    best = min(within, key=lambda point: point.joules_per_token, default=fastest)
    return 0 if best is fastest else best.mhz


class ClockChoice:
    """The clock of one GPU over time. It goes up at once, and down after HOLD_S."""

    def __init__(self, levels: Sequence[Level], hold_s: float = HOLD_S) -> None:
        self._levels = levels
        self._peaks = Peaks(hold_s)

    def choose(self, now: float, running: int, waiting: int = 0) -> int:
        """Returns the clock in MHz; 0: the driver's own, if load is unknown or requests wait."""
        load = float("inf") if waiting else running
        self._peaks.add(now, load)
        if (peak := self._peaks.peak) is None:
            return 0
        return next((level.mhz for level in self._levels if level.requests >= peak), 0)
