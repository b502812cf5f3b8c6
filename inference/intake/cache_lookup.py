"""Step 4, the cache: a cached answer is looked up before a request is recorded.

Of identical requests in flight, one asks an engine and the others wait for its answer. If none
comes, one of them asks; if it cannot be cached, all of them do. A stream never waits: its reader
wants the first token, not the whole answer. Any fault of the cache, its keys or Redis counts as
a miss.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from django.db import DatabaseError

from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference import classes
from inference.cache.answers import CachedAnswer, opened
from inference.cache.canonical import Body, is_deterministic, name_of
from inference.cache.levels import ALONE, TROUBLE, FirstLevel, SecondLevel
from inference.errors import BadRequest, NotFound
from inference.metrics.requests import LOOKED, MISS
from inference.order import Order, OrderAdapter
from infrastructure.redis.link import RedisLink
from tenants.caller import Caller

CACHE, NOT_KEPT = "x-forebay-cache", "not_cached"
WORDS = ("use", "no-store", "no-cache", "only")
SHARED = "shared"  # a request in flight answers it
PATIENCE_S = 0.5
SHARED_S = 25.0  # a request waits so long for another's answer
LOOK_S, LOOK_MOST_S = 0.02, 0.25
SAY_S = 1.0  # between renewals of a flight: see FLIGHT_MS


@dataclass(frozen=True, slots=True)
class CachePreference:
    name: bytes  # key of its answer in the cache
    reads: bool = True  # a cached answer may be used
    only: bool = False  # only a cached answer may be used


def cache_preference(
    caller: Caller,
    model: str,
    body: Body,
    header: str | None,
    *,
    chat: bool,
    adapter: OrderAdapter | None = None,
    task: str = "",
) -> CachePreference | None:
    """Returns the preference; None if its answer is generated and not stored.

    `body` is prepared for the engine, `header` the value of x-forebay-cache. Raises BadRequest,
    NotFound.
    """
    if header is None and not caller.cache_rules:
        return None
    word = _word(header)
    rule = caller.caches(model)
    caches = word in ("use", "no-cache", "only") if rule is None else rule and word != "no-store"
    if caches and caller.api_key_id and (task or is_deterministic(body)):
        name = name_of(
            caller.tenant_id,
            caller.cache_epoch,
            model,
            body,
            chat=chat,
            adapter=adapter,
            task=task,
        )
        return CachePreference(name, reads=word != "no-cache", only=word == "only")
    if word == "only":
        raise not_cached()
    return None


def not_cached() -> NotFound:
    return NotFound(
        f"no answer to this request is kept, and it asks for no other (`{CACHE}: only`)",
        code=NOT_KEPT,
        param=CACHE,
    )


def _word(header: str | None) -> str:
    word = (header or "").strip().lower()
    if header is not None and word not in WORDS:
        raise BadRequest(f"`{CACHE}` must be one of {', '.join(WORDS)}", param=CACHE)
    return word


class CacheHit(NamedTuple):
    answer: CachedAnswer
    level: str  # as in inference.models.Usage.cache


class KeptAnswers:
    """The cache as one process sees it."""

    def __init__(self, redis: RedisLink) -> None:
        self.first, self.second = FirstLevel(), SecondLevel(redis)
        self._waiting: dict[bytes, asyncio.Task[CacheHit | None]] = {}
        self._leading: dict[UUID, Order] = {}
        self._renewal: asyncio.Task[None] | None = None  # of flights

    async def find(self, order: Order, preference: CachePreference) -> CacheHit | None:
        """Return a cached answer, or None if an engine has to answer.

        After None others may wait for the engine's answer. Raises NotFound.
        """
        hit = await self._look(order) if preference.reads else None
        if hit is None and preference.only:
            LOOKED.of(MISS).value += 1
            raise not_cached()
        if hit is None and preference.reads and order.pool:  # else no engine takes it
            hit = await self._share(order)
        if preference.reads:
            LOOKED.of(hit.level if hit else MISS).value += 1
        return hit

    async def abandon(self, order: Order) -> None:
        """Give up the flight of a request that asks no engine after all."""
        self.leave(order)
        await self.second.give_up(order)

    def leave(self, order: Order) -> None:
        """Forget a request whose reader has its answer, or is gone."""
        self._leading.pop(order.id, None)

    def close(self) -> None:
        if self._renewal:
            self._renewal.cancel()

    # Levels --------------------------------------------------------------------------------------
    async def _look(self, order: Order) -> CacheHit | None:
        if data := self.first.get(order.tenant_id, order.cached):
            if answer := await _opened(data, order):
                return CacheHit(answer, "l1")
            self.first.drop(order.tenant_id, order.cached)
        return await self._from_second(order, "l2")

    async def _from_second(self, order: Order, level: str) -> CacheHit | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                data = await self.second.get(order.tenant_id, order.cached)
        except TROUBLE:
            return None
        return await self._stored(order, data, level)

    async def _stored(self, order: Order, data: bytes | None, level: str) -> CacheHit | None:
        answer = await _opened(data, order) if data else None
        if data is None or answer is None:
            return None
        self.first.put(order.tenant_id, order.cached, data)
        return CacheHit(answer, level)

    # In flight -----------------------------------------------------------------------------------
    async def _lead_or_wait(self, order: Order) -> tuple[bytes | None, bytes | None]:
        """Begin a flight or find another's, like `SecondLevel.begin`. Raises one of TROUBLE."""
        other, data = await self.second.begin(order)
        if other is None:
            self._lead(order)
        return other, data

    async def _share(self, order: Order) -> CacheHit | None:
        try:
            async with asyncio.timeout(SHARED_S):
                while True:
                    other, data = await self._lead_or_wait(order)
                    if hit := await self._stored(order, data, SHARED):
                        if other is None:
                            await self.abandon(order)
                        return hit
                    if other is None or other == ALONE or not _waits_for(order, other):
                        return None
                    if hit := await self._landed(order):
                        return hit
        except TROUBLE:
            pass
        return None

    def _lead(self, order: Order) -> None:
        """Renew the flight, so that others ask an engine soon if this process dies."""
        self._leading[order.id] = order
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while self._leading:
            await asyncio.sleep(SAY_S)
            with suppress(*TROUBLE):
                async with asyncio.timeout(SAY_S):
                    await self.second.still_in_flight(list(self._leading.values()))

    async def _landed(self, order: Order) -> CacheHit | None:
        """Returns the answer once no request asks for it any longer.

        One check serves all that wait in this process.
        """
        waiting = self._waiting.get(order.cached)
        if waiting is None:
            waiting = self._waiting[order.cached] = asyncio.create_task(self._wait(order))
            waiting.add_done_callback(lambda task: self._waited(order.cached, task))
        return await asyncio.shield(waiting)

    def _waited(self, name: bytes, task: asyncio.Task[CacheHit | None]) -> None:
        self._waiting.pop(name, None)
        if not task.cancelled():
            task.exception()  # those that wait get it

    async def _wait(self, order: Order) -> CacheHit | None:
        pause = LOOK_S
        while await self.second.in_flight(order):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LOOK_MOST_S)
        return await self._from_second(order, SHARED)


def _waits_for(order: Order, other: bytes) -> bool:
    """Return whether the order waits for the other's answer.

    None waits for a lower class, whose requests may wait, or be preempted, for hours.
    """
    klass = other.partition(b":")[0].decode(errors="replace")
    return not order.stream and classes.rank(klass) <= classes.rank(order.klass)


async def _opened(data: bytes, order: Order) -> CachedAnswer | None:
    try:
        return await opened(data, order.tenant_id, order.cached)
    except (DatabaseError, MasterKeyUnavailable):
        return None
