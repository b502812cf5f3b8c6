"""Which tenant's prompt lies in which slot of an engine, so that nobody is served from another's.

llama.cpp keeps in each slot what it computed last, and a request that begins alike skips that
part: `cached_tokens` and the time to the first token would tell one tenant how far its guess at
another's prompt is right. So the slot is chosen here, and its cache is used by its own tenant only.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

REMEMBERED = 64 * 1024  # bytes of a request's head, to find the slot that has most of a prompt
WORTH_REUSING = 10  # a slot is chosen for its prompt when that covers 1/10 of the new one


@dataclass(slots=True)
class Slot:
    """`tenant` is None while nobody can tell whose prompt lies there."""

    number: int
    tenant: UUID | None = None
    head: bytes = b""
    freed: int = 0  # the larger, the later


@dataclass(slots=True)
class Lease:
    """One request's use of a slot. Set `served` once the engine has begun to answer from it."""

    number: int
    own_cache: bool
    served: bool = False


class Slots:
    """The slots of one engine as one process, its only client, knows them."""

    def __init__(self, count: int) -> None:
        self._free = [Slot(number) for number in range(count)]
        self._waiting: set[asyncio.Future[None]] = set()
        self._releases = 0

    @asynccontextmanager
    async def lease(self, tenant: UUID, body: bytes) -> AsyncIterator[Lease]:
        """Waits when all are in use, as it would inside the engine."""
        while not self._free:
            await self._a_release()
        head = body[:REMEMBERED]
        slot = self._best(tenant, head)
        self._free.remove(slot)
        lease = Lease(slot.number, own_cache=slot.tenant == tenant)
        try:
            yield lease
        finally:
            # What failed may have left the slot as it was: then it is nobody's.
            slot.tenant, slot.head = (tenant, head) if lease.served else (None, b"")
            self._release(slot)

    def _best(self, tenant: UUID, head: bytes) -> Slot:
        own = [slot for slot in self._free if slot.tenant == tenant]
        if own:
            best = max(own, key=lambda slot: common_prefix(slot.head, head))
            if common_prefix(best.head, head) * WORTH_REUSING >= len(head):
                return best
        return min(self._free, key=lambda slot: slot.freed)

    def _release(self, slot: Slot) -> None:
        self._releases += 1
        slot.freed = self._releases
        self._free.append(slot)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def _a_release(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)


def common_prefix(one: bytes, other: bytes) -> int:
    """Bytes that both begin with; in a few comparisons of whole pieces."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
