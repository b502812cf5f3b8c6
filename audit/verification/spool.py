"""Stores the batches of the seals until the events are read.

It takes about 40 bytes per sealed event, and 8 per stray one: in memory while they are few, else on
disk.
"""

import pickle
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple, Self
from uuid import UUID

IN_MEMORY = 64 * 1024 * 1024


class SpooledBatch(NamedTuple):
    tenant_id: UUID
    checkpoint: int
    batch: int
    first_us: int
    last_us: int
    may_miss: bool  # it overlaps a month that was dropped
    ids: "array[int]"
    leaves: bytes


class Spool:
    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (see __exit__)
        self._strays = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (see __exit__)
        self._count = 0
        # The first and the last moment of all batches, in microseconds.
        self.reach: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._file.close()
        self._strays.close()

    def put(self, batch: SpooledBatch) -> None:
        pickle.dump(batch, self._file)
        self._count += 1
        first, last = self.reach or (batch.first_us, batch.last_us)
        self.reach = min(first, batch.first_us), max(last, batch.last_us)

    def rounds(self) -> Iterator[list[SpooledBatch]]:
        """Yields batches that were sealed together, in sealing order."""
        self._file.seek(0)
        batches = (pickle.load(self._file) for _ in range(self._count))  # noqa: S301 (our own)
        for _, together in groupby(batches, key=lambda batch: batch.checkpoint):
            yield list(together)

    def set_aside(self, event_ids: Iterable[int]) -> None:
        """Stores the ids of events that no seal so far contains."""
        self._strays.write(array("q", event_ids).tobytes())

    def strays(self, at_once: int) -> Iterator[list[int]]:
        self._strays.seek(0)
        while packed := self._strays.read(8 * at_once):
            yield array("q", packed).tolist()
