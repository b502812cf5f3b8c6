"""Counts of one pool, class by class."""

from array import array
from collections import defaultdict
from dataclasses import dataclass, field

from bench.simulate.arrivals import Request
from bench.simulate.shares import Shares

BIN_S = 1800.0


@dataclass(slots=True)
class ClassTally:
    """Waits in seconds, from arrival to the first begin; `busy`: slot seconds by half hours."""

    came: int = 0
    finished: int = 0
    parked: int = 0
    tokens: int = 0
    waits: "array[float]" = field(default_factory=lambda: array("d"))
    longest: dict[int, float] = field(default_factory=dict)  # by weight
    still_waiting: int = 0
    busy: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    shares: Shares = field(default_factory=Shares)


class Tally:
    def __init__(self) -> None:
        self.classes: dict[str, ClassTally] = defaultdict(ClassTally)
        self.pops = 0

    def came(self, request: Request, now: float) -> None:
        tally = self.classes[request.klass]
        tally.came += 1
        tally.shares.joins(request.tenant, request.weight, now)

    def began(self, request: Request, now: float) -> None:
        tally = self.classes[request.klass]
        tally.shares.begins(request.tenant, request.rest, now)
        if request.started is None:
            request.started = now
            self._waited(request, now)
            tally.waits.append(now - request.at)

    def parked(self, request: Request, now: float) -> None:
        tally = self.classes[request.klass]
        tally.parked += 1
        tally.shares.comes_back(request.tenant, request.weight, request.rest, now)

    def finished(self, request: Request) -> None:
        tally = self.classes[request.klass]
        tally.finished += 1
        tally.tokens += request.cost

    def ran(self, klass: str, start: float, end: float) -> None:
        busy = self.classes[klass].busy
        while start < end:
            place = int(start / BIN_S)
            until = min(end, (place + 1) * BIN_S)
            busy[place] += until - start
            start = until

    def waits_on(self, request: Request, now: float) -> None:
        """The day ends without it."""
        self.classes[request.klass].still_waiting += 1
        self._waited(request, now)

    def _waited(self, request: Request, now: float) -> None:
        longest = self.classes[request.klass].longest
        waited = now - request.at
        longest[request.weight] = max(waited, longest.get(request.weight, 0.0))
