"""Rows that wait for a commit, fair between tenants by bytes: start-time fair queueing.

A row starts where its tenant's last one ends, on a clock that stands at the start of the row that
was taken last (Goyal, Vin, Cheng 1996). So a tenant that has sent little goes first, and waits
behind one row of each of the others at most; inside a tenant it is first come, first served.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

Row = dict[str, Any]
TEXTS = ("request", "response", "message")
OVERHEAD = 1024  # bytes: what a row without a text costs


@dataclass(slots=True, eq=False)
class Entry:
    row: Row
    done: asyncio.Future[Any]
    since: float  # of the loop's clock
    tenant: str
    size: int
    place: tuple[int, int] | None = None  # once it has stood in line: start, number
    sent: bool = False  # PostgreSQL may have it


def size(row: Row) -> int:
    """In bytes, about as the statement carries it."""
    return OVERHEAD + sum(len(row.get(name) or "") for name in TEXTS)


class FairLine:
    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, int], Entry]] = []
        self._ends: dict[str, int] = {}  # where a tenant's last row ends
        self._clock = self._count = 0
        self.bytes: Counter[str] = Counter()  # that wait, by tenant
        self.rows: Counter[str] = Counter()
        self.total = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, entry: Entry) -> None:
        """One that was taken before goes back to where it stood."""
        if entry.place is None:
            self._count += 1
            start = max(self._clock, self._ends.get(entry.tenant, 0))
            self._ends[entry.tenant] = start + entry.size
            entry.place = start, self._count
        self.bytes[entry.tenant] += entry.size
        self.rows[entry.tenant] += 1
        self.total += entry.size
        heappush(self._heap, (entry.place, entry))

    def take(self, rows: int, most_bytes: int) -> list[Entry]:
        """The next ones: at least one, if any waits."""
        taken: list[Entry] = []
        while self._heap and len(taken) < rows:
            most_bytes -= self._heap[0][1].size
            if taken and most_bytes < 0:
                break
            (start, _), entry = heappop(self._heap)
            self._clock = max(self._clock, start)
            taken.append(entry)
        self._left(taken)
        return taken

    def remove(self, which: Callable[[Entry], bool]) -> list[Entry]:
        found = [entry for _, entry in self._heap if which(entry)]
        if found:
            self._heap = [(place, entry) for place, entry in self._heap if not which(entry)]
            heapify(self._heap)
            self._left(found)
        return found

    def _left(self, entries: list[Entry]) -> None:
        if not self._heap:  # nobody waits, so nobody is owed anything
            self.bytes.clear()
            self.rows.clear()
            self._ends.clear()
            self.total = 0
            return
        for entry in entries:
            self.bytes[entry.tenant] -= entry.size
            self.rows[entry.tenant] -= 1
            self.total -= entry.size
            if not self.rows[entry.tenant]:
                del self.bytes[entry.tenant], self.rows[entry.tenant]
