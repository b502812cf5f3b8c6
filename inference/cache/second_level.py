"""L2 in Redis, for all processes. Its content is encrypted, and may be lost at any time."""

import asyncio
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import hiredis
from django.conf import settings

from audit.keys.keyring import Cipher
from inference.cache import answers
from inference.order import Order
from inference.record.statements import Outcome
from infrastructure.redis.link import RedisGone, RedisLink, Script

log = logging.getLogger(__name__)
KEEP = Script.load(Path(__file__).parent / "keep.lua")  # fails on a full Redis
PATIENCE_S = 1.0
FLIGHT_MS = 5_000  # no other request asks an engine the same for this long, unless it is renewed
ALONE, ALONE_MS = b"alone", 5_000  # instead of a flight: its answer could not be cached
# ReplyError: a foreign value under one of these keys.
TROUBLE = (RedisGone, TimeoutError, hiredis.ReplyError)
TENANTS = "cache:tenants"
FEWEST = 4  # at least so many tenants share the bytes


def prefix(tenant_id: UUID) -> str:
    return f"cache:{{{tenant_id.hex}}}"


def flight_word(order: Order) -> str:
    """Return the word under which an order's flight stands in Redis: its class and its id."""
    return f"{order.klass}:{order.id.hex}"


class SecondLevel:
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
