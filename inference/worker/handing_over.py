"""A request that an engine could not begin goes on in another pool of its model.

Its new pool is put on record first, then it joins that pool's queue and leaves its own, which gives
back its charge. Whatever dies in between, the record says where it belongs: the sweeper puts it
there, and a runner that finds it in the queue that it should have left lets go of it. Its slot and
what it has set aside stay as they are.
"""

import logging
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async

from inference.engines import Pool, pools_of
from inference.models import Completion
from inference.order import Item, Order
from inference.queue.fair_queue import FairQueue
from inference.queue.wake_up import wake_up

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
    if await database_sync_to_async(_put_on_record)(UUID(item.id), to.name):
        again = msgspec.structs.replace(item, attempt=item.attempt + 1)
        if await queue.of(to.name).enqueue(again, ciphertext):
            wake_up(to.name)
        log.warning("request %s goes on in pool %s", item.id, to.name)
    await queue.settle(item, 0)  # also one that has been settled meanwhile


def belongs_elsewhere(request_id: UUID, pool: str) -> bool:
    """Whether another pool is on record. Earlier versions recorded none."""
    others = Completion.objects.filter(pk=request_id).exclude(pool__in=["", pool])
    return others.exists()


def _put_on_record(completion_id: UUID, pool: str) -> bool:
    return bool(Completion.objects.open().filter(pk=completion_id).update(pool=pool))
