"""Slots that requests hold: released at their end, undone by a refusal, restored after a loss."""

import time
from typing import Any

import msgspec

from infrastructure.redis.link import Call, RedisLink
from tenants.rate_limits.admission import Ask, keys, script

RELEASE = script("clock", "buckets", "release")
REACQUIRE = script("clock", "buckets", "reacquire")
UNKNOWN = 2**31  # bytes of an unknown body, which may have been large


class HeldSlot(msgspec.Struct, frozen=True):
    """The slot of a request in progress. `key` is "" for a member's; `bytes` of its body, if known.

    `until`: its end at the latest, whatever dies; seconds since the epoch.
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
    slot: HeldSlot, set_aside: int, used: int | None, answer: int = 0
) -> tuple[list[str], list[Any]]:
    """Returns keys and arguments of RELEASE for a finished request.

    `used` None: the reservation stays charged. `answer`: bytes stored of the answer.
    """
    tokens = 0 if used is None else set_aside - used
    return slot.keys, [slot.request_id, tokens, 0, 0, -answer, slot.bytes]


async def release(
    redis: RedisLink, slot: HeldSlot, set_aside: int, used: int | None, answer: int = 0
) -> bool:
    """Releases a request. Returns False if it was released before. Raises RedisGone."""
    (released,) = await redis.run_all([releasing(slot, set_aside, used, answer)])
    return bool(released)


def releasing(slot: HeldSlot, set_aside: int, used: int | None, answer: int = 0) -> Call:
    return Call(RELEASE, *release_arguments(slot, set_aside, used, answer))


async def undo(redis: RedisLink, ask: Ask, counted_at: int) -> bool:
    """Undoes an admission that a later tier refused. Raises RedisGone."""
    address = counted_at if ask.per_address else 0
    arguments = [ask.request_id, ask.tokens, 1, address, ask.bytes, ask.bytes]
    return bool(await redis.run(RELEASE, ask.keys, *arguments))


async def reacquire(redis: RedisLink, slot: HeldSlot, hold_s: float) -> None:
    """Restores a slot that Redis lost, for at least `hold_s`. Raises RedisGone."""
    keys_, arguments = reacquire_arguments(slot, hold_s)
    await redis.run(REACQUIRE, keys_, *arguments)


def reacquire_arguments(slot: HeldSlot, hold_s: float) -> tuple[list[str], list[Any]]:
    """Returns keys and arguments of REACQUIRE."""
    clock, _, _, tenant, _, key = slot.keys
    keys_ = [clock, tenant, key if slot.key else tenant]
    lasts_s = max(hold_s, slot.until - time.time())
    return keys_, [slot.request_id, int(lasts_s * 1000), slot.bytes]
