"""Assigns an engine's slots, so that no tenant is served from the cache of another tenant's prompt.

llama.cpp keeps the last prompt of each slot in its cache, and a request that begins alike skips
that part: `cached_tokens` and the time to the first token would tell one tenant how far its guess
at another's prompt is right. So the slot is chosen here, and its cache is used by its tenant only,
and with the adapter only that computed it.

A long beginning that was used again, such as a template's, stays warm: prompts that come only once
go elsewhere for a while.

The slots in use are neighbours. llama.cpp computes one token for each row of neighbours in one pass
over the model, and another gap costs another pass for every token.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

REMEMBERED = 64 * 1024  # bytes of a request's head, to find the slot with the longest common prefix
WORTH_REUSING = 10  # a slot is chosen for its prompt when that covers 1/10 of the new one
LESS_THAN_A_GAP = 1024  # bytes of a prompt that cost less to compute again than a gap does
WARM_ROUNDS = 16  # a warm slot is spared until all slots were used so many times
Knowledge = tuple[object, int]
Owner = UUID | tuple[UUID, UUID]  # a tenant, or a tenant and a version of its adapter
Count = Callable[[], Awaitable[int]]


class Use(Protocol):
    """Tells whether another runner may use the engine too (exclusive_use.py)."""

    @property
    def mark(self) -> object | None: ...

    async def ready(self) -> None: ...


class SingleRunner:
    """Slot assignment for an engine's only runner."""

    mark: object | None = "alone"

    async def ready(self) -> None:
        pass


@dataclass(slots=True, eq=False)
class PromptSlot:
    """A slot. `contents`: the owner of its last prompt, and the knowledge of that; or None."""

    number: int
    contents: tuple[Owner, Knowledge] | None = None
    head: bytes = b""
    freed: int = 0  # a counter: the larger, the later
    in_use: bool = False
    used_again: bool = False  # its prompt shares a long beginning with the one before

    def reusable(self, owner: Owner, head: bytes) -> int:
        """Returns how many bytes of an owner's prompt are cached here; 0 if too few to matter."""
        if not self.contents or self.contents[0] != owner:
            return 0
        common = common_prefix(self.head, head)
        return common if common * WORTH_REUSING >= len(head) else 0


@dataclass(slots=True)
class Lease:
    """A request's use of a slot. Set `served` once the engine has begun to answer from it."""

    number: int
    own_cache: bool
    served: bool = False


class Slots:
    """The slots of one engine, as one of its users knows them.

    Knowledge of contents is valid for one generation, and while no other runner uses the engine. A
    lease may outlive its generation: it keeps its slot until it ends, with unknown contents then.
    """

    def __init__(self, use: Use | None = None) -> None:
        self._use = use or SingleRunner()
        self._slots: dict[int, PromptSlot] = {}
        self._count = 0  # until the engine has said how many it has
        self._generation = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._releases = 0

    def forget(self) -> None:
        """Drop all knowledge: after an outage an engine may have other slots and contents."""
        self._generation += 1
        self._count = 0

    @asynccontextmanager
    async def lease(self, owner: Owner, body: bytes, count: Count) -> AsyncIterator[Lease]:
        """Lease a slot, and wait while all are in use. `count` asks the engine for their number."""
        head = body[:REMEMBERED]
        slot = await self._take(owner, head, count)
        knowledge = self.knowledge()
        own_cache = knowledge is not None and slot.contents == (owner, knowledge)
        lease = Lease(slot.number, own_cache)
        try:
            yield lease
        finally:
            # A failed request may have changed nothing: the contents are unknown.
            slot.contents, slot.head = None, b""
            if lease.served and knowledge:
                slot.contents, slot.head = (owner, knowledge), head
            self._release(slot)

    def knowledge(self) -> Knowledge | None:
        """Returns a mark that stays the same while nobody else can have used the slots."""
        mark = self._use.mark
        return None if mark is None else (mark, self._generation)

    async def _take(self, owner: Owner, head: bytes, count: Count) -> PromptSlot:
        while True:
            if not self._count:
                await self._ask(count)
            free = [slot for slot in self._all() if not slot.in_use]
            if not free:
                await self._wait_for_release()
                continue
            slot, generation = self._best(free, owner, head), self._generation
            slot.in_use = True
            slot.used_again = slot.reusable(owner, head) >= LESS_THAN_A_GAP
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
        slot_count = await count()
        if generation == self._generation:
            self._count = slot_count

    def _all(self) -> list[PromptSlot]:
        return [self._slots.setdefault(n, PromptSlot(n)) for n in range(self._count)]

    def _best(self, free: list[PromptSlot], owner: Owner, head: bytes) -> PromptSlot:
        warm = self._warm()

        def worth(slot: PromptSlot) -> tuple[int, int, int, bool, int]:
            reusable = slot.reusable(owner, head)
            return (
                reusable // LESS_THAN_A_GAP,
                self._busy_neighbours(slot),
                reusable,
                slot.number not in warm,
                -slot.freed,
            )

        return max(free, key=worth)

    def _warm(self) -> set[int]:
        """Returns the slots that are spared: at most half of all, or others could not reuse any."""
        since = self._releases - WARM_ROUNDS * self._count
        again = [slot for slot in self._all() if slot.used_again and slot.freed > since]
        latest = sorted(again, key=lambda slot: -slot.freed)[: self._count // 2]
        return {slot.number for slot in latest}

    def _busy_neighbours(self, slot: PromptSlot) -> int:
        beside = self._slots.get(slot.number - 1), self._slots.get(slot.number + 1)
        return sum(1 for other in beside if other and other.in_use)

    def _release(self, slot: PromptSlot) -> None:
        self._releases += 1
        slot.freed, slot.in_use = self._releases, False
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def _wait_for_release(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)


def common_prefix(one: bytes, other: bytes) -> int:
    """Returns how many bytes both begin with, by a few comparisons of whole pieces."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
