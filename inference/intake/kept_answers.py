"""Step 3, the cache: a kept answer is looked for before a request goes on record.

Of identical requests in flight, one asks an engine and the others wait for its answer. If none
comes, one of them asks; if it cannot be kept, all of them do. A stream never waits: its reader
wants the first token, not the whole answer. Any fault of the cache, its keys or Redis counts as
a miss.
"""

import asyncio
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from django.db import DatabaseError

from audit.keys.master_keys import MasterKeyUnavailable
from inference import classes
from inference.cache.answers import Answer, opened
from inference.cache.first_level import FirstLevel
from inference.cache.second_level import ALONE, TROUBLE, SecondLevel
from inference.intake.caching import Wish, not_kept
from inference.metrics.cache import LOOKED, MISS
from inference.order import Order
from infrastructure.redis.link import RedisLink

SHARED = "shared"  # with a request in flight
PATIENCE_S = 0.5
SHARED_S = 25.0  # so long one waits for another's answer
LOOK_S, LOOK_MOST_S = 0.02, 0.25
SAY_S = 1.0  # as often a flight is said to be one: see FLIGHT_MS


class Kept(NamedTuple):
    answer: Answer
    level: str  # as in inference.models.Usage.cache


class KeptAnswers:
    """Of one process."""

    def __init__(self, redis: RedisLink) -> None:
        self.first, self.second = FirstLevel(), SecondLevel(redis)
        self._waiting: dict[bytes, asyncio.Task[Kept | None]] = {}
        self._leading: dict[UUID, Order] = {}
        self._saying: asyncio.Task[None] | None = None  # that they are in flight

    async def find(self, order: Order, wish: Wish) -> Kept | None:
        """Return None where an engine has to answer; others may wait for that. Raises NotFound."""
        kept = await self._look(order) if wish.reads else None
        if kept is None and wish.only:
            LOOKED.of(MISS).value += 1
            raise not_kept()
        if kept is None and wish.reads and order.pool:  # else no engine takes it
            kept = await self._share(order)
        if wish.reads:
            LOOKED.of(kept.level if kept else MISS).value += 1
        return kept

    async def abandon(self, order: Order) -> None:
        """It asks no engine after all."""
        self.leave(order)
        await self.second.give_up(order)

    def leave(self, order: Order) -> None:
        """Its reader has its answer, or has gone."""
        self._leading.pop(order.id, None)

    def close(self) -> None:
        if self._saying:
            self._saying.cancel()

    # Levels --------------------------------------------------------------------------------------
    async def _look(self, order: Order) -> Kept | None:
        if data := self.first.get(order.tenant_id, order.cached):
            if answer := await _opened(data, order):
                return Kept(answer, "l1")
            self.first.drop(order.tenant_id, order.cached)
        return await self._from_second(order, "l2")

    async def _from_second(self, order: Order, level: str) -> Kept | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                data = await self.second.get(order.tenant_id, order.cached)
        except TROUBLE:
            return None
        return await self._taken(order, data, level)

    async def _taken(self, order: Order, data: bytes | None, level: str) -> Kept | None:
        answer = await _opened(data, order) if data else None
        if data is None or answer is None:
            return None
        self.first.put(order.tenant_id, order.cached, data)
        return Kept(answer, level)

    # In flight -----------------------------------------------------------------------------------
    async def _lead_or_wait(self, order: Order) -> tuple[bytes | None, bytes | None]:
        """As `SecondLevel.begin`. Raises one of TROUBLE."""
        other, data = await self.second.begin(order)
        if other is None:
            self._lead(order)
        return other, data

    async def _share(self, order: Order) -> Kept | None:
        try:
            async with asyncio.timeout(SHARED_S):
                while True:
                    other, data = await self._lead_or_wait(order)
                    if kept := await self._taken(order, data, SHARED):
                        if other is None:
                            await self.abandon(order)
                        return kept
                    if other is None or other == ALONE or not _waits_for(order, other):
                        return None
                    if kept := await self._landed(order):
                        return kept
        except TROUBLE:
            pass
        return None

    def _lead(self, order: Order) -> None:
        """Where this process dies, others ask an engine before long."""
        self._leading[order.id] = order
        if self._saying is None or self._saying.done():
            self._saying = asyncio.create_task(self._say())

    async def _say(self) -> None:
        while self._leading:
            await asyncio.sleep(SAY_S)
            with suppress(*TROUBLE):
                async with asyncio.timeout(SAY_S):
                    await self.second.still_in_flight(list(self._leading.values()))

    async def _landed(self, order: Order) -> Kept | None:
        """Once nobody asks for it any longer. One look for all who wait in this process."""
        waiting = self._waiting.get(order.cached)
        if waiting is None:
            waiting = self._waiting[order.cached] = asyncio.create_task(self._wait(order))
            waiting.add_done_callback(lambda done: self._waited(order.cached, done))
        return await asyncio.shield(waiting)

    def _waited(self, name: bytes, done: asyncio.Task[Kept | None]) -> None:
        self._waiting.pop(name, None)
        if not done.cancelled():
            done.exception()  # whoever waits has it, if anybody is still there

    async def _wait(self, order: Order) -> Kept | None:
        pause = LOOK_S
        while await self.second.in_flight(order):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LOOK_MOST_S)
        return await self._from_second(order, SHARED)


def _waits_for(order: Order, other: bytes) -> bool:
    """A request of a lower class may wait, or be parked, for hours: none above it waits for it."""
    klass = other.partition(b":")[0].decode(errors="replace")
    return not order.stream and classes.rank(klass) <= classes.rank(order.klass)


async def _opened(data: bytes, order: Order) -> Answer | None:
    try:
        return await opened(data, order.tenant_id, order.cached)
    except (DatabaseError, MasterKeyUnavailable):
        return None
