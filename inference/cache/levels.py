"""Both levels of the cache. Their content is encrypted, and may be lost at any time."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import hiredis
from django.conf import settings

from audit.keys.keyring import Cipher
from inference.cache import answers
from inference.order import Order
from inference.record.outcome import Outcome
from infrastructure.redis.link import RedisGone, RedisLink, Script

FIRST_MOST, FIRST_BYTES = 1_000, 32 * 1024 * 1024
TTL_S = 300.0  # of the first level
_Kept = OrderedDict[bytes, tuple[bytes, float]]  # name -> ciphertext, until (monotonic)
log = logging.getLogger(__name__)
KEEP = Script.load(Path(__file__).parent / "keep.lua")  # fails on a full Redis
PATIENCE_S = 1.0
FLIGHT_MS = 5_000  # no other request asks an engine the same for this long, unless it is renewed
ALONE, ALONE_MS = b"alone", 5_000  # instead of a flight: its answer could not be cached
# ReplyError: a foreign value under one of these keys.
TROUBLE = (RedisGone, TimeoutError, hiredis.ReplyError)
TENANTS = "cache:tenants"
FEWEST = 4  # at least so many tenants share the bytes


class FirstLevel:
    """L1, in the process. A tenant that fills it pushes out its own answers."""

    def __init__(self, most: int = FIRST_MOST, most_bytes: int = FIRST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._tenants: dict[UUID, _Kept] = {}
        self.entries, self.bytes = 0, 0

    def get(self, tenant_id: UUID, name: bytes) -> bytes | None:
        answers = self._tenants.get(tenant_id)
        entry = answers.get(name) if answers else None
        if answers is None or entry is None:
            return None
        if entry[1] <= time.monotonic():
            self.drop(tenant_id, name)
            return None
        answers.move_to_end(name)
        return entry[0]

    def put(self, tenant_id: UUID, name: bytes, data: bytes) -> None:
        self.drop(tenant_id, name)
        answers = self._tenants.setdefault(tenant_id, OrderedDict())
        answers[name] = data, time.monotonic() + TTL_S
        self.entries, self.bytes = self.entries + 1, self.bytes + len(data)
        while self.entries > self._most or self.bytes > self._most_bytes:
            self._make_room()

    def drop(self, tenant_id: UUID, name: bytes) -> None:
        answers = self._tenants.get(tenant_id)
        if answers and (entry := answers.pop(name, None)):
            self.entries, self.bytes = self.entries - 1, self.bytes - len(entry[0])
            if not answers:
                del self._tenants[tenant_id]

    def _make_room(self) -> None:
        """Drop the least recently used answer of the tenant with the most."""
        tenant_id = max(self._tenants, key=lambda one: len(self._tenants[one]))
        self.drop(tenant_id, next(iter(self._tenants[tenant_id])))


def prefix(tenant_id: UUID) -> str:
    return f"cache:{{{tenant_id.hex}}}"


def flight_word(order: Order) -> str:
    """Return the word under which an order's flight stands in Redis: its class and its id."""
    return f"{order.klass}:{order.id.hex}"


class SecondLevel:
    """L2, in Redis, for all processes."""

    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis

    async def get(self, tenant_id: UUID, name: bytes) -> bytes | None:
        """Returns the ciphertext, or None. Raises one of TROUBLE."""
        ciphertext: bytes | None = await self._redis.call(
            "GET", f"{prefix(tenant_id)}:e:{name.hex()}"
        )
        return ciphertext

    async def begin(self, order: Order) -> tuple[bytes | None, bytes | None]:
        """Begin a flight, unless another request has. Raises one of TROUBLE.

        Returns the word of the request in flight or ALONE, None for this one; and an answer cached
        meanwhile.
        """
        where, name = prefix(order.tenant_id), order.cached.hex()
        other, ciphertext = await self._redis.many(
            [
                ("SET", f"{where}:f:{name}", flight_word(order), "NX", "GET", "PX", FLIGHT_MS),
                ("GET", f"{where}:e:{name}"),
            ]
        )
        for answer in (other, ciphertext):
            if isinstance(answer, hiredis.ReplyError):
                raise answer
        return other, ciphertext

    async def still_in_flight(self, orders: Iterable[Order]) -> None:
        """Renew flights of requests in this process. Raises one of TROUBLE."""
        flights = (f"{prefix(order.tenant_id)}:f:{order.cached.hex()}" for order in orders)
        await self._redis.many([("PEXPIRE", flight, FLIGHT_MS) for flight in flights])

    async def in_flight(self, order: Order) -> bool:
        """Returns whether a request is in flight. Raises one of TROUBLE."""
        flight = f"{prefix(order.tenant_id)}:f:{order.cached.hex()}"
        return await self._redis.call("GET", flight) not in (None, ALONE)

    async def give_up(self, order: Order) -> None:
        """It brings no answer: another one of those that wait for it asks an engine."""
        await self._end(order, b"", alone_ms=0)

    async def end(self, order: Order, outcome: Outcome | None, cipher: Cipher) -> None:
        """Cache an answer. If it cannot be cached, waiting requests ask for their own at once."""
        answer = answers.cacheable(outcome, time.time() + settings.CACHE_TTL_S) if outcome else None
        data = answers.encrypted(answer, order, cipher) if answer else b""
        await self._end(order, data, alone_ms=ALONE_MS)

    async def _end(self, order: Order, data: bytes, *, alone_ms: int) -> None:
        ttl_s = settings.CACHE_TTL_S
        try:
            async with asyncio.timeout(PATIENCE_S):
                most = await self._part(order, ttl_s) if data else 0
                about = order.subject_id.hex, order.model, flight_word(order)
                arguments = order.cached.hex(), data, ttl_s * 1000, most, *about, alone_ms
                await self._redis.run(KEEP, [prefix(order.tenant_id)], *arguments)
        except TROUBLE as problem:
            log.warning("an answer is not kept: %r", problem)

    async def _part(self, order: Order, ttl_s: int) -> int:
        """Returns the tenant's bytes: tenants with cached answers share all of them."""
        now = int(time.time())
        *_, count = await self._redis.many(
            [
                ("ZREMRANGEBYSCORE", TENANTS, "-inf", now),
                ("ZADD", TENANTS, now + ttl_s, order.tenant_id.hex),
                ("ZCARD", TENANTS),
            ]
        )
        return int(settings.CACHE_BYTES // max(FEWEST, int(count)))
