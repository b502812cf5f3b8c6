"""A queue of rows that wait for a commit, fair between tenants by bytes (start-time fair queueing).

A row starts where its tenant's last one ends, on a clock that shows the start of the row that was
taken last (Goyal, Vin, Cheng 1996). A tenant that has sent little goes first, and waits behind at
most one row of each other tenant; inside a tenant the order is first come, first served.
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
class WaitingRow:
    row: Row
    done: asyncio.Future[Any]
    since: float  # on the loop's clock
    tenant: str
    size: int
    position: tuple[int, int] | None = None  # start and number, once it was in the queue
    sent: bool = False  # PostgreSQL may have received it


def size(row: Row) -> int:
    """Returns the row's approximate size in the statement, in bytes."""
    return OVERHEAD + sum(len(row.get(name) or "") for name in TEXTS)


class CommitQueue:
    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, int], WaitingRow]] = []
        self._ends: dict[str, int] = {}  # the end of each tenant's last row
        self._clock = self._count = 0
        self.bytes: Counter[str] = Counter()  # waiting, by tenant
        self.rows: Counter[str] = Counter()
        self.total = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, entry: WaitingRow) -> None:
        """Adds an entry. One that was taken before returns to its position."""
        if entry.position is None:
            self._count += 1
            start = max(self._clock, self._ends.get(entry.tenant, 0))
            self._ends[entry.tenant] = start + entry.size
            entry.position = start, self._count
        self.bytes[entry.tenant] += entry.size
        self.rows[entry.tenant] += 1
        self.total += entry.size
        heappush(self._heap, (entry.position, entry))

    def take(self, rows: int, most_bytes: int) -> list[WaitingRow]:
        """Returns the next entries: at least one, if any waits."""
        entries: list[WaitingRow] = []
        while self._heap and len(entries) < rows:
            most_bytes -= self._heap[0][1].size
            if entries and most_bytes < 0:
                break
            (start, _), entry = heappop(self._heap)
            self._clock = max(self._clock, start)
            entries.append(entry)
        self._uncount(entries)
        return entries

    def remove(self, matches: Callable[[WaitingRow], bool]) -> list[WaitingRow]:
        entries = [entry for _, entry in self._heap if matches(entry)]
        if entries:
            self._heap = [pair for pair in self._heap if not matches(pair[1])]
            heapify(self._heap)
            self._uncount(entries)
        return entries

    def _uncount(self, entries: list[WaitingRow]) -> None:
        if not self._heap:  # nobody waits, so the history of shares is over
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
