"""A request that an engine could not begin goes on in another pool of its model.

It leaves the one queue, its pool is put on record, it joins the other queue: whatever dies in
between, the sweeper finds the request in no queue and puts it into that of its pool on record. Its
slot and what it has set aside stay as they are; the queue that it leaves gives back its charge.
"""

import logging
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async

from inference.engines import Pool, pools_of
from inference.models import Completion
from inference.order import Item, Order
from inference.queue.fair_queue import FairQueue
from inference.worker.restoring import wake

log = logging.getLogger(__name__)


def next_pool(order: Order, item: Item) -> Pool | None:
    """The one after its own, until each has been tried. No hosted one for who is local-only."""
    pools = pools_of(order.model)
    if len(pools) < 2:
        return None
    found = [pool for pool in pools if not (order.local_only and pool.hosted)]
    names = [pool.name for pool in found]
    if order.queue not in names or item.attempt >= len(found):
        return None
    return found[(names.index(order.queue) + 1) % len(found)]


async def hand_over(queue: FairQueue, to: Pool, item: Item, ciphertext: bytes) -> None:
    """Raises RedisGone, DatabaseError; it can be called again."""
    await queue.settle(item, 0)
    if not await database_sync_to_async(_put_on_record)(UUID(item.id), to.name):
        return  # it has been settled meanwhile
    again = msgspec.structs.replace(item, attempt=item.attempt + 1)
    if await queue.of(to.name).enqueue(again, ciphertext):
        wake(to.name)
    log.warning("request %s goes on in pool %s", item.id, to.name)


def _put_on_record(completion_id: UUID, pool: str) -> bool:
    return bool(Completion.objects.open().filter(pk=completion_id).update(pool=pool))
