"""A request that an engine could not begin goes on in another pool of its model, or in its own.

That a hosted service had it is on record before another engine has it (`put_leaving_on_record`):
the event that ends it names the last one alone.

Its new pool is put on record first, then it joins that pool's queue and leaves its own, which gives
back its charge. Whatever dies in between, the record says where it belongs: the sweeper puts it
there, and a runner that finds it in the queue that it should have left lets go of it. Its slot and
what it has set aside stay as they are.
"""

import logging
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from audit.trail import pending
from audit.trail.network import network
from inference.engines import Pool, breakers, pools_of, reachable
from inference.engines.breakers import Phase
from inference.models import Completion
from inference.order import Item, Order
from inference.queue.fair_queue import FairQueue
from inference.queue.wake_up import wake_up
from inference.worker.handlers.base import MAX_ATTEMPTS
from tenants.scope import system_scope

log = logging.getLogger(__name__)


def next_pool(
    order: Order, item: Item, engine: str, start: str, *, in_house: bool = False
) -> Pool | None:
    """That takes what `engine` could not begin: its own for another engine there, else the next.

    `start`: the pool that the request was routed to. From there on each has one turn, in the
    model's order, hosted ones and those for failover last; no hosted one for who is local-only, or
    `in_house`. None when there is nowhere left to go.
    """
    stays_here = order.local_only or in_house
    pools = [pool for pool in pools_of(order.model) if not (stays_here and pool.hosted)]
    own = next((pool for pool in pools if pool.name == order.queue), None)
    if own is None:  # it drains, or was removed
        return _first_up(pools) if item.attempt < MAX_ATTEMPTS else None
    stays = other_available(own, engine)
    if stays and item.attempt == 1:
        return own
    if item.attempt < MAX_ATTEMPTS and (found := _first_up(_untried(pools, own.name, start))):
        return found
    may_again = item.attempt < MAX_ATTEMPTS or breakers.phase(engine) is not Phase.CLOSED
    return own if stays and may_again else None


def own_pool(order: Order) -> Pool | None:
    """The pool that it is in, while an engine of that can be asked."""
    own = [pool for pool in pools_of(order.model) if pool.name == order.queue]
    return _first_up(own)


def _untried(pools: list[Pool], own: str, start: str) -> list[Pool]:
    names = [pool.name for pool in pools]
    begin = names.index(start) if start in names else names.index(own)
    turns = pools[begin + 1 :] + pools[:begin]
    turns = [pools[begin], *sorted(turns, key=lambda pool: pool.comes_later)]
    return turns[[pool.name for pool in turns].index(own) + 1 :]


def _first_up(pools: list[Pool]) -> Pool | None:
    return next((pool for pool in pools if any(map(reachable.available, pool.engines))), None)


def other_available(pool: Pool, engine: str) -> bool:
    return any(each.config.id != engine and reachable.available(each) for each in pool.engines)


async def hand_over(queue: FairQueue, to: Pool, item: Item, ciphertext: bytes) -> None:
    """Raises RedisGone, DatabaseError; it can be called again.

    One whose lease has run out, while this host was cut off, belongs to whoever took it up.
    """
    if not await queue.holds(item):
        return
    if to.name == queue.pool:
        await _put_back(queue, to, item, ciphertext)
        return
    again = msgspec.structs.replace(item, attempt=item.attempt + 1)
    if await database_sync_to_async(_put_on_record)(UUID(item.id), to.name):
        if await queue.of(to.name).enqueue(again, ciphertext):
            wake_up(to.name)
        log.warning("request %s goes on in pool %s", item.id, to.name)
    await queue.settle(item, 0)  # also one that has been settled meanwhile


async def _put_back(queue: FairQueue, pool: Pool, item: Item, ciphertext: bytes) -> None:
    """For another engine of the pool. Died in between, the sweeper finds it on record."""
    again = msgspec.structs.replace(item, attempt=min(item.attempt + 1, MAX_ATTEMPTS))
    if not await queue.settle(item, 0):
        return  # the sweeper has it
    if await queue.enqueue(again, ciphertext):
        wake_up(pool.name)
    log.warning("request %s goes on at another engine of pool %s", item.id, pool.name)


def put_leaving_on_record(order: Order, upstream: str) -> None:
    """Once for each service. Raises DatabaseError."""
    what: dict[str, Any] = {
        "action": Action.COMPLETION_LEFT,
        "tenant_id": order.tenant_id,
        "request_id": order.id,
        "upstream": upstream,
    }
    since = datetime.fromtimestamp(order.created_at, UTC)
    with system_scope():
        if Event.objects.filter(**what, subject_id=order.subject_id, at__gte=since).exists():
            return
        event = Event.objects.create(
            **what,
            at=max(since, timezone.now()),
            actor=order.actor,
            subject_id=order.subject_id,
            api_key_id=order.charge.api_key_id,
            client_net=network(order.client_ip),
            route=order.route,
            model=order.model,
            success=False,
        )
        pending.remember(event)


def belongs_elsewhere(request_id: UUID, pool: str) -> bool:
    """Whether another pool is on record. Earlier versions recorded none."""
    others = Completion.objects.filter(pk=request_id).exclude(pool__in=["", pool])
    return others.exists()


def _put_on_record(completion_id: UUID, pool: str) -> bool:
    return bool(Completion.objects.open().filter(pk=completion_id).update(pool=pool))
