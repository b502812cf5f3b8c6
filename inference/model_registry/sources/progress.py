"""What a source may bring, how long it may take, and whether it is to go on."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from inference.model_registry.headers.header import BadFile


class Stopped(Exception):
    """The version was deleted meanwhile, or another process has its import."""


WITHIN_S = 6 * 3600.0  # a server that sends a byte a minute would hold a place for ever


def _end() -> float:
    return time.monotonic() + WITHIN_S


@dataclass(slots=True)
class Budget:
    """The bytes that an import may still write; `is_wanted` says whether it goes on."""

    room: int
    is_wanted: Callable[[], bool] = lambda: True
    ends_at: float = field(default_factory=_end)

    def spend(self, size: int) -> None:
        """Raises BadFile, Stopped."""
        self.room -= size
        if self.room < 0:
            raise BadFile("it is larger than the room that is left for versions of models")
        if time.monotonic() > self.ends_at:
            raise BadFile("it did not end in time")
        if not self.is_wanted():
            raise Stopped
