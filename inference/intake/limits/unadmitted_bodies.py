"""Bounds the bytes of bodies in this process that no limit has admitted yet.

Each counts for its address, key and tenant. An owner holds at most its share, and never more than
what remains free: so a few that hold all they may leave room for everybody else. The first FREE
bytes of a body do not count: ordinary requests get through whatever others send, and the number of
connections bounds them.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from django.conf import settings

from inference.errors import ApiError, LimitReached, Unavailable
from tenants.caller import Caller
from tenants.rate_limits.client_address import counted

FREE = 16 * 1024
MEBIBYTE = 1024 * 1024
CODE = "too_many_bytes_sent"


@dataclass(frozen=True, slots=True)
class BodyOwner:
    kind: str
    name: UUID | str
    most: int  # bytes


EVERYBODY = BodyOwner("platform", "", 0)
Owners = tuple[BodyOwner, ...]


class BodyBudget:
    """The memory for bodies. `most` is the limit of bytes for all together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[BodyOwner] = Counter()
        self._waiting: defaultdict[BodyOwner, deque[asyncio.Future[None]]] = defaultdict(deque)
        self.total = 0

    def taken_by(self, owner: BodyOwner) -> int:
        return self._taken.get(owner, 0)

    def take(self, owners: Owners, size: int) -> BodyOwner | None:
        """Take `size` bytes. Returns None, or the owner without room, and then takes nothing."""
        free = self._most - self.total - size
        for owner in owners:
            if self.taken_by(owner) + size > owner.most:
                return owner
            if self.taken_by(owner) + size > free:
                return EVERYBODY
        if free < 0:
            return EVERYBODY
        for owner in owners:
            self._taken[owner] += size
        self.total += size
        return None

    def give_back(self, owners: Owners, size: int) -> None:
        self.total -= size
        for owner in owners:
            self._taken[owner] -= size
            if not self._taken[owner]:
                del self._taken[owner]
        for owner in (*owners, EVERYBODY):
            self._wake(owner)

    async def wait(self, owners: Owners, size: int) -> None:
        """Reserve `size` bytes once there is room; those that wait get it in order of arrival."""
        previous: BodyOwner | None = None
        while full := self.take(owners, size):
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if previous is None:
                self._waiting[full].append(room)
            else:
                self._waiting[full].appendleft(room)
            if previous not in (None, full):
                self._wake(previous)  # one that waits behind it may fit
            previous = full
            await self._woken(room, full)
        for owner in (*owners, EVERYBODY):
            self._wake(owner)  # there may be room for more than one

    async def _woken(self, room: asyncio.Future[None], owner: BodyOwner) -> None:
        try:
            await room
        except asyncio.CancelledError:
            if room.done() and not room.cancelled():
                self._wake(owner)  # in its stead
            raise

    def _wake(self, owner: BodyOwner | None) -> None:
        line = self._waiting.get(owner) if owner else None
        while line:
            room = line.popleft()
            if not room.done():
                room.set_result(None)
                break
        if owner and not line:
            self._waiting.pop(owner, None)


class BodyMemory:
    """The memory of one body in the budget, until it is released."""

    def __init__(self, budget: BodyBudget, owners: Callable[[], Owners]) -> None:
        self._budget, self._owners_of = budget, owners
        self._owners: Owners = ()
        self._size = 0

    def grow(self, length: int) -> BodyOwner | None:
        """Grow to a body of `length` bytes. Returns the owner without room, or None."""
        more = length - FREE - self._size
        if more <= 0:
            return None
        self._owners = self._owners or self._owners_of()
        if full := self._budget.take(self._owners, more):
            return full
        self._size += more
        return None

    async def reserve(self, length: int) -> None:
        """Wait for the room of a body of `length` bytes."""
        self._owners = self._owners or self._owners_of()
        await self._budget.wait(self._owners, length)
        self._size += length

    def release(self, length: int = 0) -> None:
        """Release all but `length` bytes."""
        more = self._size - max(0, length - FREE)
        if more > 0:
            self._size -= more
            self._budget.give_back(self._owners, more)


@cache
def budget() -> BodyBudget:
    return BodyBudget(_share(128, bodies=8))


def of_caller(caller: Caller | None, client_ip: str) -> Owners:
    """Returns the owners that a request of the inference API counts for."""
    owners = (
        [BodyOwner("address", address, _share(32, bodies=2))]
        if (address := counted(client_ip))
        else []
    )
    if caller:
        owners.append(BodyOwner("tenant", caller.tenant_id, _share(64, bodies=4)))
    if caller and caller.api_key_id:
        owners.append(BodyOwner("API key", caller.api_key_id, _share(32, bodies=2)))
    return tuple(owners)


def of_stranger(client_ip: str) -> Owners:
    """Returns the owners of a request without a key. They leave room for those with one."""
    together = BodyOwner("strangers", "", _share(64, bodies=4))
    return (together, *of_caller(None, client_ip))


def refusal(full: BodyOwner) -> ApiError:
    again = "wait until earlier requests are sent, or try again"
    if full is EVERYBODY:
        return Unavailable(f"too much is being sent here; {again}", code=CODE, retry_after=1)
    what = f"this {full.kind} sends more than {full.most} bytes at once"
    error = LimitReached(f"{what}; {again}", code=CODE, retry_after=1)
    error.retry_after_ms = 1000
    return error


def _share(mebibytes: int, *, bodies: int) -> int:
    """Returns the share in bytes, at least `bodies` of the largest bodies."""
    return max(mebibytes * MEBIBYTE, bodies * int(settings.MAX_BODY_BYTES))
