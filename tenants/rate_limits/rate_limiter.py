"""Admission in one web process: Redis decides; while it is away, a stricter bucket of our own.

A Redis that is silent for PATIENCE_S is away: from then on nobody waits for it, until it answers a
probe. Then it is told of everybody who came in meanwhile, and decides again.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

import hiredis

from infrastructure.redis.cluster_link import link_to
from infrastructure.redis.link import RedisGone
from tenants.rate_limits.admission import PATIENCE_S, Admission, Ask, SharedAdmission
from tenants.rate_limits.local_admission import LocalAdmission
from tenants.rate_limits.release import Slot, reacquire, undo

log = logging.getLogger(__name__)
PROBE_S = 1.0
LOCALLY = -1  # an address was charged here, not in Redis
FIRST_TRIES = 5  # of PATIENCE_S each
REMEMBERED = 10_000  # addresses over their limit, requests to be undone
_TROUBLE = (RedisGone, hiredis.ReplyError)


class RateLimiter:
    """`in_progress`: places of the requests that this process waits for. `number` of `processes`
    that admit requests: see LocalAdmission.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        processes: int = 1,
        number: int = 0,
        hold_s: float = 60,
        in_progress: Callable[[], Iterable[Slot]] = tuple,
    ) -> None:
        self._redis = link_to(redis_url, timeout_s=PATIENCE_S)
        self._shared = SharedAdmission(self._redis, self._restore)
        self._local = LocalAdmission(processes, number=number)
        self._hold_s, self._in_progress = hold_s, in_progress
        self._blocked: OrderedDict[str, tuple[Admission, float]] = OrderedDict()
        self._to_undo: dict[str, tuple[Ask, int]] = {}
        self._probing: asyncio.Task[None] | None = None
        self.outages = 0  # how often this process went on alone

    @property
    def alone(self) -> bool:
        """Whether Redis is away, and the stricter limits of this process hold."""
        return self._probing is not None

    async def open(self) -> None:
        """Connects, so that the first request need not.

        Tries several times: no request waits yet, and a process that starts on a busy machine
        would begin with the empty buckets of its own.
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

    # Coming in -----------------------------------------------------------------------------------
    async def admit(self, ask: Ask) -> tuple[Admission, int]:
        """The decision, and when the address was charged for it (to be handed to `undo`)."""
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
        """The refusal of an address that is over its limit, for as long as it is."""
        known = self._blocked.get(address)
        if known is None:
            return None
        left = known[1] - time.monotonic()
        if left <= 0:
            del self._blocked[address]
            return None
        refused = known[0]
        return Admission(
            "ip", refused.limit, refused.used, max(1, int(left * 1000)), "ip", refused.requests
        )

    def _remember(self, ask: Ask, admission: Admission) -> None:
        if admission.tier == "ip":
            until = time.monotonic() + admission.frees_in_ms / 1000
            self._blocked[ask.address] = admission, until
            if len(self._blocked) > REMEMBERED:
                self._blocked.popitem(last=False)

    # Going out -----------------------------------------------------------------------------------
    async def undo(self, ask: Ask, counted_at: int) -> None:
        """As if the request had never come: a later tier refused it, or nothing took it."""
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
        """It did not run: Redis was away for too long."""
        self._local.over(request_id)

    def _busy(self, owner: str) -> Iterator[int]:
        """The bytes of each request of a tenant or key in progress here that Redis knows of."""
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
            self._probing = asyncio.create_task(self._until_it_is_back())

    async def _until_it_is_back(self) -> None:
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
        """Tells Redis who came in without it, and who went no further. Raises RedisGone."""
        await self._redis.call("PING")
        while self._local.owed or self._to_undo:
            for ask in list(self._local.owed.values())[:100]:
                await self._shared.admit(ask, "owed")
                self._local.owed.pop(ask.request_id, None)
            for request_id, (ask, counted_at) in list(self._to_undo.items())[:100]:
                await undo(self._redis, ask, counted_at)
                self._to_undo.pop(request_id, None)

    async def _restore(self) -> None:
        """Redis lost its data: what is in progress takes its places again."""
        slots = list(self._in_progress())
        log.warning("rate limits: Redis lost its data; restoring %d requests", len(slots))
        for start in range(0, len(slots), 100):
            batch = slots[start : start + 100]
            await asyncio.gather(*[reacquire(self._redis, slot, self._hold_s) for slot in batch])
