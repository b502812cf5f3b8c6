"""The acts of every kind of backup: the words of `forebay backup` and `forebay restore`."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Base:
    """A copy of the whole cluster, from which a restore begins."""

    label: str
    ended_at: str  # ISO 8601
    stored_bytes: int
    content_bytes: int  # of the cluster, on disk
    postgresql: str  # its version


class Kind(Protocol):
    @property
    def programs(self) -> Path:
        """The folder of PostgreSQL's programs."""

    def prefix(self, data: Path) -> Sequence[str]:
        """Returns what to put before a command that runs as PostgreSQL's user on this folder."""

    def bases(self) -> Sequence[Base]:
        """Returns the whole ones, oldest first. Raises Problem."""

    def take(self) -> Base:
        """Make another. Raises Problem."""

    def put_back(
        self, base: Base, data: Path, at: datetime | None
    ) -> AbstractContextManager[Mapping[str, str]]:
        """Fill an empty folder, and hand out the log while the context lasts.

        Yields settings with which PostgreSQL recovers. Raises Problem.
        """

    def missing(self, base: Base) -> int:
        """Returns how many segments of the log after a base were never stored."""
