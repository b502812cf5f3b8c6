"""What a source may bring, and whether it is to go on."""

from collections.abc import Callable
from dataclasses import dataclass

from inference.model_registry.headers.header import BadFile


class Stopped(Exception):
    """The version was deleted meanwhile, or another process has its import."""


@dataclass(slots=True)
class Budget:
    """The bytes that an import may still write; `is_wanted` says whether it goes on."""

    room: int
    is_wanted: Callable[[], bool] = lambda: True

    def spend(self, size: int) -> None:
        """Raises BadFile, Stopped."""
        self.room -= size
        if self.room < 0:
            raise BadFile("it is larger than the room that is left for versions of models")
        if not self.is_wanted():
            raise Stopped
