"""The tokens of backlogged tenants against those that their weights entitle them to.

In each window, tenants of a class and pool whose line was never empty are compared with each
other: together they got so many tokens, of which each is entitled to its weight's part.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WINDOW_S = 600.0
ENOUGH = 20  # requests that a tenant must be entitled to: less is all rounding


@dataclass(slots=True)
class Share:
    """One tenant's share, in the fair queue's unit, over the windows with a backlog."""

    received: float = 0.0
    entitled: float = 0.0


@dataclass(slots=True)
class Line:
    """`received` in this window."""

    weight: int
    since: float
    waiting: int = 1
    received: float = 0.0


@dataclass(slots=True)
class Shares:
    """The shares of one class in one pool. Times are seconds of the day and never go back."""

    by_tenant: dict[str, Share] = field(default_factory=dict)
    _lines: dict[str, Line] = field(default_factory=dict)
    _begins: float = 0.0

    def joins(self, tenant: str, weight: int, now: float) -> None:
        self._turn(now)
        if line := self._lines.get(tenant):
            line.waiting += 1
        else:
            self._lines[tenant] = Line(weight, now)

    def begins(self, tenant: str, cost: float, now: float) -> None:
        self._turn(now)
        line = self._lines[tenant]
        line.received += cost
        line.waiting -= 1
        if not line.waiting:
            del self._lines[tenant]

    def comes_back(self, tenant: str, weight: int, cost: float, now: float) -> None:
        """Parked: of what was counted when it began, so much was not served."""
        self.joins(tenant, weight, now)
        self._lines[tenant].received -= cost

    def _turn(self, now: float) -> None:
        while now >= self._begins + WINDOW_S:
            self._compare([pair for pair in self._lines.items() if pair[1].since <= self._begins])
            for line in self._lines.values():
                line.received = 0.0
            self._begins += WINDOW_S

    def _compare(self, backlogged: Sequence[tuple[str, Line]]) -> None:
        if len(backlogged) < 2:
            return
        together = sum(line.received for _, line in backlogged)
        weights = sum(line.weight for _, line in backlogged)
        for tenant, line in backlogged:
            share = self.by_tenant.setdefault(tenant, Share())
            share.received += line.received
            share.entitled += together * line.weight / weights


def ratios(shares: Iterable[Share], request: float) -> list[float]:
    """Received against entitled, of who was entitled to enough; `request`: the cost of one."""
    return sorted(s.received / s.entitled for s in shares if s.entitled >= ENOUGH * request)


def jain(values: Sequence[float]) -> float | None:
    """1 where all have the same, 1/n where one has everything (Jain, 1984)."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None
