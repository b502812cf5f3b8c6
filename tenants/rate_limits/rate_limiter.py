"""Admission in one web process: by Redis, or by stricter buckets of its own while that is away.

Redis is considered away after PATIENCE_S of silence: from then on no request waits for it, until it
answers a probe. Then it is told about requests admitted meanwhile, and decides again.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

import hiredis
import msgspec

from infrastructure.redis.cluster_link import link_to
from infrastructure.redis.link import RedisGone
from tenants.rate_limits.admission import PATIENCE_S, Admission, Ask, SharedAdmission
from tenants.rate_limits.held_slots import HeldSlot, reacquire, undo
from tenants.rate_limits.local_admission import LocalAdmission

log = logging.getLogger(__name__)
PROBE_S = 1.0
LOCALLY = -1  # the address was charged in this process, not in Redis
FIRST_TRIES = 5  # of PATIENCE_S each
REMEMBERED = 10_000  # addresses over their limit, and admissions to undo
_TROUBLE = (RedisGone, hiredis.ReplyError)


class RateLimiter:
    """Decides on requests for admission.

    `in_progress`: slots of the requests that this process waits for. `number` of `processes` that
    admit requests: see LocalAdmission.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        processes: int = 1,
        number: int = 0,
        hold_s: float = 60,
        in_progress: Callable[[], Iterable[HeldSlot]] = tuple,
    ) -> None:
        self._redis = link_to(redis_url, timeout_s=PATIENCE_S)
        self._shared = SharedAdmission(self._redis, self._restore)
        self._local = LocalAdmission(processes, number=number)
        self._hold_s, self._in_progress = hold_s, in_progress
        self._blocked: OrderedDict[str, tuple[Admission, float]] = OrderedDict()
        self._to_undo: dict[str, tuple[Ask, int]] = {}
        self._probing: asyncio.Task[None] | None = None
        self.outages = 0

    @property
    def alone(self) -> bool:
        """True while Redis is away and the stricter limits of this process apply."""
        return self._probing is not None

    async def open(self) -> None:
        """Connects before the first request.

        It tries several times: no request waits yet, and a process that starts on a busy machine
        would begin with its own empty buckets.
        """
        for tries_left in reversed(range(FIRST_TRIES)):
            try:
                await self._redis.call("PING")
                return
            except _TROUBLE as problem:
                if not tries_left:
                    self._go_alone(problem)

    async def close(self) -> None:
        if self._probing:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        self._redis.close()

    # Admission -----------------------------------------------------------------------------------
    async def admit(self, ask: Ask) -> tuple[Admission, int]:
        """Returns the decision, and the time at which the address was charged (for `undo`)."""
        counted_at = ask.address_counted_at
        if ask.per_address and not counted_at and (refused := self.blocked(ask.address)):
            return refused, 0
        if not self.alone:
            try:
                admission, now = await self._shared.admit(ask)
                self._remember(ask, admission)
                return admission, counted_at or now
            except _TROUBLE as problem:
                self._go_alone(problem)
        return self._local.admit(ask, self._busy), counted_at or LOCALLY

    def blocked(self, address: str) -> Admission | None:
        """Returns the refusal of an address while it is over its limit."""
        known = self._blocked.get(address)
        if known is None:
            return None
        remaining_s = known[1] - time.monotonic()
        if remaining_s <= 0:
            del self._blocked[address]
            return None
        frees_in_ms = max(1, int(remaining_s * 1000))
        return msgspec.structs.replace(known[0], frees_in_ms=frees_in_ms, scope="ip", tokens=None)

    def _remember(self, ask: Ask, admission: Admission) -> None:
        if admission.tier == "ip":
            until = time.monotonic() + admission.frees_in_ms / 1000
            self._blocked[ask.address] = admission, until
            if len(self._blocked) > REMEMBERED:
                self._blocked.popitem(last=False)

    # After admission -----------------------------------------------------------------------------
    async def undo(self, ask: Ask, counted_at: int) -> None:
        """Undoes an admission that a later tier refused, or that nothing accepted."""
        if self._local.undo(ask.request_id) or len(self._to_undo) >= REMEMBERED:
            return
        if not self.alone:
            try:
                await undo(self._redis, ask, counted_at)
                return
            except _TROUBLE as problem:
                self._go_alone(problem)
        self._to_undo[ask.request_id] = ask, counted_at

    def over(self, request_id: str) -> None:
        """Frees a request that did not run, because Redis was away for too long."""
        self._local.over(request_id)

    def _busy(self, owner: str) -> Iterator[int]:
        """Yields the body size of each request of an owner in progress here that Redis knows."""
        owed = self._local.owed
        return (
            slot.bytes
            for slot in self._in_progress()
            if slot.takes_slot and owner in (slot.tenant, slot.key) and slot.request_id not in owed
        )

    # Without Redis -------------------------------------------------------------------------------
    def _go_alone(self, problem: Exception) -> None:
        if not self.alone:
            self.outages += 1
            log.warning("rate limits: Redis is unavailable (%s); using local limits", problem)
            self._local.begin()
            self._probing = asyncio.create_task(self._probe_until_back())

    async def _probe_until_back(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(PROBE_S)
            try:
                await self._catch_up()
            except _TROUBLE:
                continue
            self._probing = None
            log.warning("rate limits: Redis is back after %.1f s", time.monotonic() - began)
            return

    async def _catch_up(self) -> None:
        """Tells Redis about requests admitted or undone without it. Raises RedisGone."""
        await self._redis.call("PING")
        while self._local.owed or self._to_undo:
            for ask in list(self._local.owed.values())[:100]:
                await self._shared.admit(ask, "owed")
                self._local.owed.pop(ask.request_id, None)
            for request_id, (ask, counted_at) in list(self._to_undo.items())[:100]:
                await undo(self._redis, ask, counted_at)
                self._to_undo.pop(request_id, None)

    async def _restore(self) -> None:
        """Writes the slots of requests in progress again after Redis lost its data."""
        slots = list(self._in_progress())
        log.warning("rate limits: Redis lost its data; restoring %d requests", len(slots))
        for start in range(0, len(slots), 100):
            batch = slots[start : start + 100]
            await asyncio.gather(*[reacquire(self._redis, slot, self._hold_s) for slot in batch])
