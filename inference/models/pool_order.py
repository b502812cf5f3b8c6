"""Where each pool of a model has to stand so that they are tried in a given order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class Placed(Protocol):
    name: str
    position: int
    from_file: bool
    created_at: datetime


class FileFirst(Exception):
    """What FOREBAY_ENGINES declares keeps its place, and here it has to come first."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def places(order: Sequence[Placed]) -> list[int]:
    """Of each in this order its position; those from the file keep theirs. Raises FileFirst.

    At the same position the older one is tried first.
    """
    found: list[int] = []
    before: tuple[int, datetime] | None = None
    for pool in order:
        at = pool.position if pool.from_file else _next(pool, before)
        if before and (at, pool.created_at) <= before:
            raise FileFirst(pool.name)
        before = (at, pool.created_at)
        found.append(at)
    return found


def _next(pool: Placed, before: tuple[int, datetime] | None) -> int:
    if before is None:
        return 0
    at, created_at = before
    return at if pool.created_at > created_at else at + 1
