"""Parks a preempted request: it gives its slot to a higher class and waits at its line's head.

Its state is stored in Redis before it leaves its runner. If the runner dies in between, its lease
expires, and the request resumes from the stored state.
"""

import logging

from inference.order import Item, Order
from inference.queue.fair_queue import FairQueue
from inference.record.parked import Parked, keep
from infrastructure.redis.link import RedisLink

log = logging.getLogger(__name__)


async def park_request(
    redis: RedisLink, queue: FairQueue, order: Order, item: Item, before: Parked, parked: Parked
) -> None:
    """Park it; `before` is its state at its start here. Raises RedisGone; it may be repeated."""
    await keep(redis, order, parked)
    if await queue.park(item, parked.cost - before.cost, parked.times):
        log.info("request %s waits again: a higher class needs its slot", order.id)
