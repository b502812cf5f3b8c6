"""Step 2 of a request's life: one script decides over every limit at once (admission.lua).

Here is what all web processes share; who to ask when Redis is away is rate_limiter.py's affair.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from infrastructure.redis.link import WHEN_FULL, RedisGone, RedisLink, Script
from tenants.caller import NO_LIMITS, Caller, Limits
from tenants.rate_limits.client_address import counted

_HERE = Path(__file__).parent
# The hash tag keeps all limits in one slot of a cluster: one script decides over an address, a
# tenant and a key, and charges all or none.
TAG = "{limits}"
CLOCK_KEY = f"{TAG}:clock"
READING_S = 60.0  # so long one process's clock stands in for Redis's
PROMPT_S = 0.1  # an answer that took longer tells the time badly
JUMP_MS = 1_000
PATIENCE_S = 0.22


def script(*names: str) -> Script:
    """Several files as one script: clock.lua comes first, and so on."""
    texts = [(_HERE / f"{name}.lua").read_text() for name in names]
    return Script.of(WHEN_FULL + "\n".join(texts))


MEGABYTE = 1_000_000
LIGHT = 16_384  # bytes: a smaller body does not count among those in flight (buckets.lua)
_SCRIPT = script("clock", "buckets", "admission")


class Left(msgspec.Struct, frozen=True):
    """What the tightest tier leaves, for the headers. Requests or tokens."""

    limit: int
    remaining: int
    full_in_ms: int


class Admission(msgspec.Struct, frozen=True):
    """`tier` is "" when admitted, else who refused: one of RefusedBy's words."""

    tier: str
    limit: int = 0
    used: int = 0
    frees_in_ms: int = 0
    scope: str = ""  # the tightest tier
    requests: Left | None = None
    tokens: Left | None = None
    counter: UUID | None = None  # the quota that refused
    unit: str = ""  # of the quota, and its window
    window: str = ""
    asked: int = 0  # of the quota, in its unit

    @property
    def never_fits(self) -> bool:
        """Returns whether the request is larger than the whole quota: no window has room."""
        return self.tier == "quota" and self.asked > self.limit

    @property
    def remaining(self) -> int:
        return 0 if self.tier or not self.requests else self.requests.remaining


class Ask(msgspec.Struct, frozen=True):
    """One request at the limits. `address` is whom the limit per address counts, "" nobody.

    `only_looks`: it wants to know what the tenant's and the key's limits leave. They are charged
    nothing, and do not refuse it.
    """

    request_id: str
    address: str = ""
    per_address: int = 0
    address_counted_at: int = 0  # it has been charged for this request already
    tenant: str = ""
    limits: Limits = NO_LIMITS
    key: str = ""
    key_limits: Limits = NO_LIMITS
    tokens: int = 0
    hold_s: int = 0
    bytes: int = 0  # of the body, which is kept
    only_looks: bool = False
    takes_slot: bool = True  # is one of the requests in progress that limits count
    requests: int = 1  # that it counts as; 0: bytes of one that runs already

    @classmethod
    def of(
        cls,
        caller: Caller,
        request_id: str,
        *,
        client_ip: str = "",
        per_address: int = 0,
        tokens: int = 0,
        hold_s: int = 60,
        address_counted_at: int = 0,
        size: int = 0,
        only_looks: bool = False,
        takes_slot: bool = True,
        requests: int = 1,
    ) -> "Ask":
        address = counted(client_ip)
        limits, key_limits = caller.limits, caller.key_limits
        if not takes_slot:
            limits, key_limits = limits.without_slots(), key_limits.without_slots()
        return cls(
            request_id,
            address,
            per_address if address else 0,
            address_counted_at,
            str(caller.tenant_id),
            limits,
            str(caller.api_key_id or ""),
            key_limits,
            tokens,
            hold_s,
            size,
            only_looks,
            takes_slot,
            requests,
        )

    @property
    def keys(self) -> list[str]:
        return keys(self.tenant, self.key, self.address, takes_slot=self.takes_slot)

    @property
    def limited(self) -> bool:
        """Whether anything counts it."""
        return bool(self.per_address) or self.limits != NO_LIMITS or self.key_limits != NO_LIMITS


def keys(tenant: str, key: str = "", address: str = "", *, takes_slot: bool = True) -> list[str]:
    """As admission.lua and give_back.lua want them."""
    return [
        CLOCK_KEY,
        f"{TAG}:address:{address}",
        f"{TAG}:levels:{tenant}",
        concurrency_key(tenant, takes_slot=takes_slot),
        f"{TAG}:levels:{key or '-'}",
        concurrency_key(key or "-", takes_slot=takes_slot),
    ]


def concurrency_key(owner: str, *, takes_slot: bool = True) -> str:
    """Sorted set of the requests in progress of a tenant or a key: settling takes one out.

    Those that take no slot have a set of their own, which no limit looks at.
    """
    return f"{TAG}:{'busy' if takes_slot else 'slotless'}:{owner}"


class SharedAdmission:
    """Asks Redis. `restore` puts back the places of what this process has in progress."""

    def __init__(self, redis: RedisLink, restore: Callable[[], Awaitable[None]]) -> None:
        self._redis, self._restore = redis, restore
        self._epoch = b""
        self._reading: tuple[int, float] | None = None  # Redis's ms, our seconds

    async def admit(self, ask: Ask, mode: str = "") -> tuple[Admission, int]:
        """The decision and its time, in ms of Redis. Raises RedisGone."""
        began = time.monotonic()
        for _ in range(4):
            sent = time.monotonic()
            if sent - began > PATIENCE_S / 2:
                break
            answer = await self._redis.run(_SCRIPT, ask.keys, *self._arguments(ask, mode, sent))
            took = time.monotonic() - sent
            word, now = answer[0], int(answer[4])
            if word == b"epoch":
                self._epoch, self._reading = answer[5], None
                await self._restore()
                continue
            if word == b"late" and self._jumped(now, took):
                mode = "jumped"
                continue
            self._epoch = answer[5]
            self._reading = (now, time.monotonic()) if took < PROMPT_S else None
            if word != b"late":
                return _read(answer), now
        raise RedisGone("it is too slow")

    def _arguments(self, ask: Ask, mode: str, sent: float) -> list[Any]:
        tenant, key = ask.limits, ask.key_limits
        return [
            ask.request_id,
            ask.tokens,
            ask.hold_s * 1000,
            self._epoch,
            self._reckoned(sent),
            int(PATIENCE_S * 1000),
            mode,
            ask.per_address,
            ask.address_counted_at,
            ask.bytes,
            tenant.requests_per_minute,
            tenant.burst,
            tenant.tokens_per_minute,
            tenant.max_concurrency,
            tenant.megabytes_in_flight * MEGABYTE,
            tenant.megabytes_per_day * MEGABYTE,
            key.requests_per_minute,
            key.burst,
            key.tokens_per_minute,
            key.max_concurrency,
            key.megabytes_in_flight * MEGABYTE,
            key.megabytes_per_day * MEGABYTE,
            int(ask.only_looks),
            ask.requests,
        ]

    def _reckoned(self, at: float) -> int:
        """What Redis's clock should show; 0 when we cannot tell."""
        if self._reading is None or at - self._reading[1] > READING_S:
            return 0
        return self._reading[0] + int((at - self._reading[1]) * 1000)

    def _jumped(self, now: int, took: float) -> bool:
        """Whether somebody set Redis's clock forward: it is not we who were slow."""
        reckoned = self._reckoned(time.monotonic())
        return took < PROMPT_S and reckoned > 0 and now - reckoned > JUMP_MS


def _read(answer: list[Any]) -> Admission:
    tier, limit, used, frees, _, _, scope, *left = answer
    return Admission(
        tier.decode(), limit, used, frees, scope.decode(), _left(left[:3]), _left(left[3:])
    )


def _left(numbers: list[int]) -> Left | None:
    return Left(*numbers) if numbers[0] >= 0 else None
