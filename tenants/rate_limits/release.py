"""What a request gives back when it is over (release.lua), and takes again after a loss."""

import time
from typing import Any

import msgspec

from infrastructure.redis.link import Call, RedisLink
from tenants.rate_limits.admission import Ask, keys, script

RELEASE = script("clock", "buckets", "release")
REACQUIRE = script("clock", "buckets", "reacquire")
UNKNOWN = 2**31  # bytes: it may have been large


class Slot(msgspec.Struct, frozen=True):
    """Of a request in progress. `key` is "" for a member's; `bytes` of its body, if known.

    `until`: when it is over, whatever dies; seconds since the epoch.
    """

    request_id: str
    tenant: str
    key: str = ""
    bytes: int = UNKNOWN
    takes_slot: bool = True
    until: float = 0.0

    @property
    def keys(self) -> list[str]:
        return keys(self.tenant, self.key, takes_slot=self.takes_slot)


def release_arguments(
    slot: Slot, set_aside: int, used: int | None, answer: int = 0
) -> tuple[list[str], list[Any]]:
    """Keys and arguments of GIVE_BACK for a request that is over.

    `used` None: nobody knows what it took; then what was set aside stays charged. `answer`: bytes
    that are kept of it.
    """
    tokens = 0 if used is None else set_aside - used
    return slot.keys, [slot.request_id, tokens, 0, 0, -answer, slot.bytes]


async def release(
    redis: RedisLink, slot: Slot, set_aside: int, used: int | None, answer: int = 0
) -> bool:
    """False when it had been given back before. Raises RedisGone."""
    (held,) = await redis.run_all([releasing(slot, set_aside, used, answer)])
    return bool(held)


def releasing(slot: Slot, set_aside: int, used: int | None, answer: int = 0) -> Call:
    return Call(RELEASE, *release_arguments(slot, set_aside, used, answer))


async def undo(redis: RedisLink, ask: Ask, counted_at: int) -> bool:
    """As if the request had never come: a later tier refused it. Raises RedisGone."""
    address = counted_at if ask.per_address else 0
    arguments = [ask.request_id, ask.tokens, 1, address, ask.bytes, ask.bytes]
    return bool(await redis.run(RELEASE, ask.keys, *arguments))


async def reacquire(redis: RedisLink, slot: Slot, hold_s: float) -> None:
    """Redis had lost it. `hold_s`: at least so long. Raises RedisGone."""
    where, arguments = reacquire_arguments(slot, hold_s)
    await redis.run(REACQUIRE, where, *arguments)


def reacquire_arguments(slot: Slot, hold_s: float) -> tuple[list[str], list[Any]]:
    """Keys and arguments of HOLD."""
    clock, _, _, tenant, _, key = slot.keys
    where = [clock, tenant, key if slot.key else tenant]
    lasts_s = max(hold_s, slot.until - time.time())
    return where, [slot.request_id, int(lasts_s * 1000), slot.bytes]
