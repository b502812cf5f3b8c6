"""Positions that make the router try a model's pools in a wanted order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class PositionedPool(Protocol):
    name: str
    position: int
    from_file: bool
    created_at: datetime


class FileFirst(Exception):
    """A pool of FOREBAY_ENGINES keeps its position, which this order would have to change."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def positions(order: Sequence[PositionedPool]) -> list[int]:
    """Return the position of each pool in this order. Raises FileFirst.

    Pools from the file keep their positions. Of two at the same position the router tries the older
    first.
    """
    positions: list[int] = []
    previous: tuple[int, datetime] | None = None
    for pool in order:
        position = pool.position if pool.from_file else _next(pool, previous)
        if previous and (position, pool.created_at) <= previous:
            raise FileFirst(pool.name)
        previous = (position, pool.created_at)
        positions.append(position)
    return positions


def _next(pool: PositionedPool, previous: tuple[int, datetime] | None) -> int:
    if previous is None:
        return 0
    position, created_at = previous
    return position if pool.created_at > created_at else position + 1
