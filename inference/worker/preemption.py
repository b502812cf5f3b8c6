"""Requests of preemptible classes: offered to higher classes, asked for their slot, parked.

What a parked request has taken is kept first (in Redis, or in its checkpoint), then it leaves its
runner. If the runner dies in between, its lease runs out and the request goes on from there.
"""

import contextlib
import logging
from collections.abc import Callable

from inference import classes
from inference.order import Item, Order
from inference.queue.fair_queue import FairQueue
from inference.record.parked import Parked, keep
from inference.worker.run.run import Run
from infrastructure.redis.link import TROUBLE, RedisLink

log = logging.getLogger(__name__)


class Preemption:
    """`is_stopping`: a runner that stops finishes what it has. Work with checkpoints goes back."""

    def __init__(self, redis: RedisLink, queue: FairQueue, is_stopping: Callable[[], bool]) -> None:
        self._redis, self._queue, self._is_stopping = redis, queue, is_stopping

    async def offer(self, run: Run) -> None:
        """Tell the queue that a higher class may have this request's slot."""
        if self._is_stopping():
            run.park_at_stop()
            return
        if not (classes.of(run.item.klass).preemptible and run.handler.may_be_parked()):
            return
        with contextlib.suppress(*TROUBLE):
            await self._queue.offer(run.item, run.popped_at)

    async def wants_slot(self, run: Run) -> bool:
        """Return whether a higher class still wants it; else it stays on offer."""
        with contextlib.suppress(*TROUBLE):
            return await self._queue.still_wants(run.item, run.popped_at)
        return False

    async def ask(self, run: Run) -> None:
        """Have a request park whose slot the queue has asked for, if it still wants it."""
        with contextlib.suppress(*TROUBLE):
            if self._is_stopping() or not run.handler.may_requeue():
                await self._queue.decline(run.item)
                return
            wanted = await self._queue.still_wants(run.item, run.popped_at)
            if wanted and not run.park():
                await self._queue.decline(run.item)

    async def park(self, order: Order, item: Item, before: Parked, parked: Parked) -> None:
        """Put a request back in front of its line.

        `before`: what it had taken when it began here. It can be called again. Raises RedisGone.
        """
        if not classes.of(order.klass, order.route).checkpoints:
            await keep(self._redis, order, parked)
        if await self._queue.park(item, parked.work_units - before.work_units, parked.returns):
            why = (
                "its worker stops"
                if parked.stops > before.stops
                else "a higher class needs its slot"
            )
            log.info("request %s waits again: %s", order.id, why)
