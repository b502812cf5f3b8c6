"""Stores the batches of the seals until the events are read.

It takes 40 bytes per sealed event, and 8 per stray one: in memory while they are few, else on disk.
"""

import tempfile
from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple, Self
from uuid import UUID

IN_MEMORY = 64 * 1024 * 1024


class Batch(NamedTuple):
    tenant_id: UUID
    checkpoint: int
    batch: int
    first_us: int
    last_us: int
    may_miss: bool  # it overlaps a month that was dropped
    ids: list[int]
    leaves: bytes


class Spool:
    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (see __exit__)
        self._strays = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (see __exit__)
        self._heads: list[tuple[UUID, int, int, int, int, bool, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._file.close()
        self._strays.close()

    def put(self, batch: Batch) -> None:
        self._file.write(array("q", batch.ids).tobytes())
        self._file.write(batch.leaves)
        self._heads.append((*batch[:6], len(batch.ids)))

    def set_aside(self, event_ids: Iterable[int]) -> None:
        """Stores the ids of events that no seal so far contains."""
        self._strays.write(array("q", event_ids).tobytes())

    def strays(self, at_once: int) -> Iterator[list[int]]:
        self._strays.seek(0)
        while packed := self._strays.read(8 * at_once):
            yield array("q", packed).tolist()

    def rounds(self) -> Iterator[list[Batch]]:
        """Yields batches that were sealed together, in sealing order."""
        for _, batches in groupby(self._batches(), key=lambda batch: batch.checkpoint):
            yield list(batches)

    def reach(self) -> tuple[int, int] | None:
        """Returns the first and the last moment of all batches, in microseconds."""
        if not self._heads:
            return None
        return min(head[3] for head in self._heads), max(head[4] for head in self._heads)

    def _batches(self) -> Iterator[Batch]:
        self._file.seek(0)
        for head in self._heads:
            size = head[6]
            ids = array("q")
            ids.frombytes(self._file.read(8 * size))
            leaves = self._file.read(32 * size)
            yield Batch(*head[:6], ids.tolist(), leaves)
