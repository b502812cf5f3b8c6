"""Cancels requests: a running one stops, and one that never ran is settled as not run."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from msgspec.structs import replace

from audit.keys.keyring import Unreadable, keyring
from audit.trail.group_commit import GroupCommit, StoreUnavailable
from inference.cache.levels import SecondLevel
from inference.engines import pools_of
from inference.intake.background import Background
from inference.log_context import about
from inference.order import Order
from inference.queue.fair_queue import FairQueue
from inference.record import limit_usage, parked
from inference.record.outcome import Outcome
from inference.record.request_rows import settled_row
from infrastructure.redis.link import RedisGone, RedisLink
from tenants.rate_limits.held_slots import release

log = logging.getLogger(__name__)
NOT_RUN = Outcome(state="failed", status=503, finish_reason="error", error_code="not_queued")
CANCELLED = Outcome(state="cancelled", status=499, finish_reason="cancelled")
INSIST_TIMES = 5  # once a second


class Cancellation:
    def __init__(
        self,
        redis: RedisLink,
        queues: Mapping[str, FairQueue],
        settled: GroupCommit,
        background: Background,
    ) -> None:
        self._redis, self._queues = redis, queues
        self._settled, self._background = settled, background

    def cancel(self, order: Order) -> None:
        """Stop the generation and settle its part, since the reader is gone. Does not wait."""
        self._background.run(self._cancel(order))

    async def insist(self, order: Order, is_open: Callable[[], Awaitable[bool]]) -> None:
        """Cancel, and repeat it each second while the request is open.

        A request that is still on its way into the queue cannot be taken out of it yet.
        """
        for _ in range(INSIST_TIMES):
            self.cancel(order)
            await asyncio.sleep(1)
            if not await is_open():
                return

    async def _cancel(self, order: Order) -> None:
        if order.cached:  # no other request waits for this answer
            await SecondLevel(self._redis).give_up(order)
        try:
            if waiting := await self._out_of_queue(order):
                await self._settle_waiting(waiting)
        except RedisGone:
            return  # the runner finishes it, or the sweeper closes it

    async def take_out(self, order: Order) -> None:
        """Settle a waiting request as not run, so that it costs nothing, even if it was preempted.

        A running one goes on.
        """
        try:
            if waiting := await self._out_of_queue(order, if_it_waits=True):
                await self.settle_unstarted(waiting, CANCELLED)
                await parked.forget(self._redis, order)
        except (RedisGone, StoreUnavailable) as problem:
            what = "request %s is not taken out of the queue: %s"
            log.warning(what, order.id, problem, extra=about(order.id, order.tenant_id))

    async def never_queued(self, order: Order) -> None:
        """Settle it as not run, even if it did get into the queue."""
        try:
            await self._record(order, NOT_RUN)
        except StoreUnavailable as problem:  # then the sweeper closes it
            what = "request %s is not settled yet: %s"
            log.warning(what, order.id, problem, extra=about(order.id, order.tenant_id))
        # A slow Redis may have put it into the queue: it must not run.
        self._background.insist(partial(self._release, order))

    async def _out_of_queue(self, order: Order, *, if_it_waits: bool = False) -> Order | None:
        """Cancel it in its pool, or the one that it was handed to.

        Returns the order with the pool in which it waited; None if it runs, or is gone.
        """
        others = [pool.name for pool in pools_of(order.model) if pool.name != order.queue]
        for pool in (order.queue, *others):
            where = await self._queues[pool].cancel(str(order.id), if_it_waits=if_it_waits)
            if where != "gone":
                return replace(order, pool=pool) if where == "queued" else None
        return None

    async def _settle_waiting(self, order: Order) -> None:
        """Settle a cancelled request, which may have run before it was preempted."""
        before = await parked.taken(self._redis, order)
        if before == parked.NEVER:
            return await self.settle_unstarted(order, CANCELLED)
        await self.settle_unstarted(order, before.ended(CANCELLED))
        return await parked.forget(self._redis, order)

    async def settle_unstarted(self, order: Order, outcome: Outcome) -> None:
        await self._record(order, outcome)
        await self._release(order, limit_usage.used(outcome) or 0)

    async def _record(self, order: Order, outcome: Outcome) -> None:
        try:
            cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        except Unreadable:  # erased meanwhile: no text is stored
            cipher = None
        await self._settled.write(settled_row(order, outcome, cipher, time.time()))

    async def _release(self, order: Order, used: int = 0) -> None:
        """Release its place in the queue and in the limits. Raises RedisGone."""
        await asyncio.gather(
            self._queues[order.queue].end_lease(order.item, 0),
            release(self._redis, limit_usage.slot(order), limit_usage.reserved_tokens(order), used),
        )
