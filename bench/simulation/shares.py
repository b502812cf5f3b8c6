"""What backlogged tenants got against what their weights entitle them to.

Ideal sharing serves all backlogged tenants at once, each by its weight. A backlog lasts from a
tenant's first waiting request until the last one begins; over it, the ideal gives a tenant its
weight's part of every token that its class gets in this pool.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ENOUGH = 20  # requests that a backlog must be entitled to: shorter ones are all rounding


@dataclass(slots=True)
class Backlog:
    """In tokens; `entitled` is known when it is over."""

    weight: int
    since: float  # what one unit of weight had been served by then
    waiting: int = 1
    received: float = 0.0
    entitled: float = 0.0


class Shares:
    """Of one class in one pool."""

    def __init__(self) -> None:
        self.over: list[Backlog] = []
        self._served = 0.0  # per unit of weight
        self._weights = 0
        self._now: dict[str, Backlog] = {}

    def joins(self, tenant: str, weight: int) -> None:
        if backlog := self._now.get(tenant):
            backlog.waiting += 1
            return
        self._now[tenant] = Backlog(weight, self._served)
        self._weights += weight

    def begins(self, tenant: str, tokens: float) -> None:
        backlog = self._now[tenant]
        self._served += tokens / self._weights
        backlog.received += tokens
        backlog.waiting -= 1
        if not backlog.waiting:
            self._end(tenant)

    def comes_back(self, tenant: str, weight: int, tokens: float) -> None:
        """Parked: of what was counted when it began, so much was not served."""
        self.joins(tenant, weight)
        self._served -= tokens / self._weights
        self._now[tenant].received -= tokens

    def close(self) -> list[Backlog]:
        for tenant in list(self._now):
            self._end(tenant)
        return self.over

    def _end(self, tenant: str) -> None:
        backlog = self._now.pop(tenant)
        self._weights -= backlog.weight
        backlog.entitled = backlog.weight * (self._served - backlog.since)
        self.over.append(backlog)


def ratios(backlogs: Iterable[Backlog], request: float) -> list[float]:
    """Received against entitled, of backlogs that are long enough; `request`: tokens of one."""
    return sorted(b.received / b.entitled for b in backlogs if b.entitled >= ENOUGH * request)


def jain(values: Sequence[float]) -> float | None:
    """1 where all have the same, 1/n where one has everything (Jain, 1984)."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None
