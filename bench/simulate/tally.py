"""Counts of one pool, class by class."""

from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from bench.simulate.arrivals import Request
from bench.simulate.shares import Shares


@dataclass(slots=True)
class ClassTally:
    """Waits in seconds, from arrival to the first begin; `busy_s`: of slots."""

    counts: Counter[str] = field(default_factory=Counter)
    waits: "array[float]" = field(default_factory=lambda: array("d"))
    longest: dict[int, float] = field(default_factory=dict)  # by weight
    busy_s: float = 0.0
    shares: Shares = field(default_factory=Shares)

    def waited(self, request: Request, until: float) -> float:
        waited = until - request.at
        self.longest[request.weight] = max(waited, self.longest.get(request.weight, 0.0))
        return waited


class Tally:
    def __init__(self) -> None:
        self.classes: dict[str, ClassTally] = defaultdict(ClassTally)
        self.pops = 0

    def came(self, request: Request, now: float) -> None:
        tally = self.classes[request.klass]
        tally.counts["came"] += 1
        tally.shares.joins(request.tenant, request.weight, now)

    def began(self, request: Request, now: float) -> None:
        tally = self.classes[request.klass]
        tally.shares.begins(request.tenant, request.rest, now)
        if request.started is None:
            request.started = now
            tally.waits.append(tally.waited(request, now))

    def parked(self, request: Request, now: float) -> None:
        tally = self.classes[request.klass]
        tally.counts["parked"] += 1
        tally.shares.comes_back(request.tenant, request.weight, request.rest, now)

    def waits_on(self, request: Request, now: float) -> None:
        """The day ends without it."""
        tally = self.classes[request.klass]
        tally.counts["still_waiting"] += 1
        tally.waited(request, now)
