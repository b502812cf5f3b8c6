"""Step 3 of a request's life: one script decides on every limit at once (admission.lua).

These limits are shared by all web processes; rate_limiter.py decides on admission without Redis.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from infrastructure.redis.link import WHEN_FULL, RedisGone, RedisLink, Script
from tenants.caller import NO_LIMITS, SESSION, Caller, Limits
from tenants.rate_limits.client_address import counted

_HERE = Path(__file__).parent
# The hash tag keeps all limits in one slot of a cluster: one script decides over an address, a
# tenant and a key, and charges all or none.
TAG = "{limits}"
CLOCK_KEY = f"{TAG}:clock"
READING_S = 60.0  # the longest time that this process extrapolates Redis's clock
PROMPT_S = 0.1  # a slower answer gives the time too inaccurately
JUMP_MS = 1_000
PATIENCE_S = 0.22


def script(*names: str) -> Script:
    """Joins several files to one script: clock.lua comes first, and so on."""
    texts = [(_HERE / f"{name}.lua").read_text() for name in names]
    return Script.of(WHEN_FULL + "\n".join(texts))


MEGABYTE = 1_000_000
LIGHT = 16_384  # bytes: smaller bodies do not count as bytes in flight (buckets.lua)
_SCRIPT = script("clock", "buckets", "admission")


class TierRest(msgspec.Struct, frozen=True):
    """The rest of the tightest tier, for the headers, in requests or tokens."""

    limit: int
    remaining: int
    full_in_ms: int


class Admission(msgspec.Struct, frozen=True):
    """A decision. `tier` is "" for an admission, else the refusing limit, a word of RefusedBy."""

    tier: str
    limit: int = 0
    used: int = 0
    frees_in_ms: int = 0
    scope: str = ""  # the tightest tier
    requests: TierRest | None = None
    tokens: TierRest | None = None
    counter: UUID | None = None  # the quota that refused
    unit: str = ""  # the quota's unit and window
    window: str = ""
    asked: int = 0  # the amount that the quota refused, in its unit

    @property
    def never_fits(self) -> bool:
        """Returns whether waiting does not help.

        The request is larger than the whole quota, so that no window has room; or the quota is of
        its session, which has no next window.
        """
        return self.tier == "quota" and (self.asked > self.limit or self.window == SESSION)


class Ask(msgspec.Struct, frozen=True):
    """A request for admission. `address` is what the limit per address counts, "" for none.

    `only_looks`: reads what the limits of tenant and key leave, neither charged nor refused.
    """

    request_id: str
    address: str = ""
    per_address: int = 0
    address_counted_at: int = 0  # the time, if the address was charged for this request before
    tenant: str = ""
    limits: Limits = NO_LIMITS
    key: str = ""
    key_limits: Limits = NO_LIMITS
    tokens: int = 0
    hold_s: int = 0
    bytes: int = 0  # the size of the body, which is stored
    only_looks: bool = False
    takes_slot: bool = True  # counts among the requests in progress
    requests: int = 1  # the number it counts as; 0 for bytes of a running request

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
        """True if any limit applies."""
        return bool(self.per_address) or self.limits != NO_LIMITS or self.key_limits != NO_LIMITS


def keys(tenant: str, key: str = "", address: str = "", *, takes_slot: bool = True) -> list[str]:
    """Returns the keys of admission.lua and release.lua."""
    return [
        CLOCK_KEY,
        f"{TAG}:address:{address}",
        f"{TAG}:levels:{tenant}",
        concurrency_key(tenant, takes_slot=takes_slot),
        f"{TAG}:levels:{key or '-'}",
        concurrency_key(key or "-", takes_slot=takes_slot),
    ]


def concurrency_key(owner: str, *, takes_slot: bool = True) -> str:
    """Returns the sorted set of a tenant's or key's requests in progress; settling removes one.

    Requests without a slot have a set of their own, which no limit reads.
    """
    return f"{TAG}:{'busy' if takes_slot else 'slotless'}:{owner}"


class SharedAdmission:
    """Admission by Redis. `restore` writes the slots of this process's requests again."""

    def __init__(self, redis: RedisLink, restore: Callable[[], Awaitable[None]]) -> None:
        self._redis, self._restore = redis, restore
        self._epoch = b""
        self._reading: tuple[int, float] | None = None  # Redis's ms, our seconds

    async def admit(self, ask: Ask, mode: str = "") -> tuple[Admission, int]:
        """Returns the decision and its time, in ms of Redis. Raises RedisGone."""
        began = time.monotonic()
        for _ in range(4):
            sent_at = time.monotonic()
            if sent_at - began > PATIENCE_S / 2:
                break
            answer = await self._redis.run(_SCRIPT, ask.keys, *self._arguments(ask, mode, sent_at))
            duration = time.monotonic() - sent_at
            word, now = answer[0], int(answer[4])
            if word == b"epoch":
                self._epoch, self._reading = answer[5], None
                await self._restore()
                continue
            if word == b"late" and self._jumped(now, duration):
                mode = "jumped"
                continue
            self._epoch = answer[5]
            self._reading = (now, time.monotonic()) if duration < PROMPT_S else None
            if word != b"late":
                return _read(answer), now
        raise RedisGone("it is too slow")

    def _arguments(self, ask: Ask, mode: str, sent_at: float) -> list[Any]:
        return [
            ask.request_id,
            ask.tokens,
            ask.hold_s * 1000,
            self._epoch,
            self._redis_time(sent_at),
            int(PATIENCE_S * 1000),
            mode,
            ask.per_address,
            ask.address_counted_at,
            ask.bytes,
            *_in_bytes(ask.limits),
            *_in_bytes(ask.key_limits),
            int(ask.only_looks),
            ask.requests,
        ]

    def _redis_time(self, at: float) -> int:
        """Returns the time that Redis's clock should show, or 0 if it is unknown."""
        if self._reading is None or at - self._reading[1] > READING_S:
            return 0
        return self._reading[0] + int((at - self._reading[1]) * 1000)

    def _jumped(self, now: int, duration: float) -> bool:
        """Returns True if Redis's clock was set forward, and this process was not just slow."""
        expected = self._redis_time(time.monotonic())
        return duration < PROMPT_S and expected > 0 and now - expected > JUMP_MS


def _in_bytes(limits: Limits) -> tuple[int, ...]:
    rest = (limits.megabytes_in_flight * MEGABYTE, limits.megabytes_per_day * MEGABYTE)
    rate = (limits.requests_per_minute, limits.burst, limits.tokens_per_minute)
    return *rate, limits.max_concurrency, *rest


def _read(answer: list[Any]) -> Admission:
    tier, limit, used, frees, _, _, scope, *rest = answer
    return Admission(
        tier.decode(), limit, used, frees, scope.decode(), _left(rest[:3]), _left(rest[3:])
    )


def _left(numbers: list[int]) -> TierRest | None:
    return TierRest(*numbers) if numbers[0] >= 0 else None
