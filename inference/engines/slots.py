"""Which tenant's prompt lies in which slot of an engine, so that nobody is served from another's.

llama.cpp keeps in each slot what it computed last, and a request that begins alike skips that
part: `cached_tokens` and the time to the first token would tell one tenant how far its guess at
another's prompt is right. So the slot is chosen here, and its cache is used by its own tenant only.

A long beginning that was used again, such as a template's, is kept warm: what comes but once goes
elsewhere for a while.

The slots in use are kept side by side. llama.cpp computes one token for each row of neighbours in
one pass over the model, and another gap costs another pass for every token.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

REMEMBERED = 64 * 1024  # bytes of a request's head, to find the slot that has most of a prompt
WORTH_REUSING = 10  # a slot is chosen for its prompt when that covers 1/10 of the new one
LESS_THAN_A_GAP = 1024  # bytes of a prompt that cost less to compute again than a gap does
WARM_ROUNDS = 16  # so many times all slots are used before one that was used again is not spared
Knowledge = tuple[object, int]
Count = Callable[[], Awaitable[int]]


class Use(Protocol):
    """Whether somebody else may use the engine too (users.py)."""

    @property
    def mark(self) -> object | None: ...

    async def ready(self) -> None: ...


class Alone:
    """Of who knows that nobody else does."""

    mark: object | None = "alone"

    async def ready(self) -> None:
        pass


@dataclass(slots=True, eq=False)
class Slot:
    """`left` tells whose prompt lies there and how that is known; None where nobody can tell."""

    number: int
    left: tuple[UUID, Knowledge] | None = None
    head: bytes = b""
    freed: int = 0  # the larger, the later
    taken: bool = False
    used_again: bool = False  # the long beginning of what lies there

    def reusable(self, tenant: UUID, head: bytes) -> int:
        """Bytes of a tenant's prompt that lie here; 0 where they are not worth it."""
        if not self.left or self.left[0] != tenant:
            return 0
        common = common_prefix(self.head, head)
        return common if common * WORTH_REUSING >= len(head) else 0


@dataclass(slots=True)
class Lease:
    """One request's use of a slot. Set `served` once the engine has begun to answer from it."""

    number: int
    own_cache: bool
    served: bool = False


class Slots:
    """The slots of one engine, as one of its users knows them.

    What is known holds for one generation, and for as long as nobody else uses the engine. A lease
    may outlive its generation: it keeps its slot until it ends, and leaves it to nobody.
    """

    def __init__(self, use: Use | None = None) -> None:
        self._use = use or Alone()
        self._slots: dict[int, Slot] = {}
        self._count = 0  # until the engine has said how many it has
        self._generation = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._releases = 0

    def forget(self) -> None:
        """The engine has been away: it may come back with other slots, and other contents."""
        self._generation += 1
        self._count = 0

    @asynccontextmanager
    async def lease(self, tenant: UUID, body: bytes, count: Count) -> AsyncIterator[Lease]:
        """Waits when all are in use, as in the engine. `count` asks it how many there are."""
        head = body[:REMEMBERED]
        slot = await self._take(tenant, head, count)
        known = self._knowledge()
        lease = Lease(slot.number, own_cache=known is not None and slot.left == (tenant, known))
        try:
            yield lease
        finally:
            # What failed may have left the slot as it was: then it is nobody's.
            slot.left, slot.head = (
                ((tenant, known), head) if lease.served and known else (None, b"")
            )
            self._release(slot)

    def _knowledge(self) -> Knowledge | None:
        mark = self._use.mark
        return None if mark is None else (mark, self._generation)

    async def _take(self, tenant: UUID, head: bytes, count: Count) -> Slot:
        while True:
            if not self._count:
                await self._ask(count)
            free = [slot for slot in self._known() if not slot.taken]
            if not free:
                await self._a_release()
                continue
            slot, generation = self._best(free, tenant, head), self._generation
            slot.taken = True
            slot.used_again = slot.reusable(tenant, head) >= LESS_THAN_A_GAP
            try:
                await self._use.ready()
            except BaseException:
                self._release(slot)
                raise
            if generation == self._generation:
                return slot
            self._release(slot)

    async def _ask(self, count: Count) -> None:
        generation = self._generation
        found = await count()
        if generation == self._generation:
            self._count = found

    def _known(self) -> list[Slot]:
        return [self._slots.setdefault(n, Slot(n)) for n in range(self._count)]

    def _best(self, free: list[Slot], tenant: UUID, head: bytes) -> Slot:
        warm = self._warm()

        def worth(slot: Slot) -> tuple[int, int, int, bool, int]:
            reusable = slot.reusable(tenant, head)
            return (
                reusable // LESS_THAN_A_GAP,
                self._taken_beside(slot),
                reusable,
                slot.number not in warm,
                -slot.freed,
            )

        return max(free, key=worth)

    def _warm(self) -> set[int]:
        """Those that are spared: half of all at most, or nobody else's would be used again."""
        since = self._releases - WARM_ROUNDS * self._count
        again = [slot for slot in self._known() if slot.used_again and slot.freed > since]
        latest = sorted(again, key=lambda slot: -slot.freed)[: self._count // 2]
        return {slot.number for slot in latest}

    def _taken_beside(self, slot: Slot) -> int:
        beside = self._slots.get(slot.number - 1), self._slots.get(slot.number + 1)
        return sum(1 for other in beside if other and other.taken)

    def _release(self, slot: Slot) -> None:
        self._releases += 1
        slot.freed, slot.taken = self._releases, False
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
