"""A request that gave its slot to a higher class waits again, in front of its line.

What there is of it is in Redis first, then it leaves its runner. Who dies in between still holds
its lease: that runs out, and the request goes on from what was kept.
"""

import logging

from inference.order import Item, Order
from inference.queue.fair_queue import FairQueue
from inference.record.parked import Parked, keep
from infrastructure.redis.link import RedisLink

log = logging.getLogger(__name__)


async def put_aside(
    redis: RedisLink, queue: FairQueue, order: Order, item: Item, before: Parked, parked: Parked
) -> None:
    """`before`: as it was when it began here. Raises RedisGone; it can be called again."""
    await keep(redis, order, parked)
    if await queue.park(item, parked.cost - before.cost, parked.times):
        log.info("request %s waits again: a higher class needs its slot", order.id)
