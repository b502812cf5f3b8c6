"""Failover: a request that an engine could not begin goes to another pool of its model, or stays.

If a hosted service had it, that is recorded before another engine gets it (`record_departure`): the
event of its end names only the last one.

Its new pool is recorded first, then it joins that pool's queue and leaves its own, which refunds
its charge. Whatever dies in between, the record has its pool: the sweeper queues it there, and a
runner that finds it in the old queue drops it. Its slot and its reservation stay unchanged.
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
from audit.trail import unsealed_notes
from audit.trail.truncated_address import network
from inference import classes
from inference.engines import Pool, pools_of
from inference.engines.health import breakers, reachability
from inference.engines.health.breakers import Phase
from inference.models import Completion
from inference.order import Item, Order
from inference.queue.fair_queue import FairQueue
from inference.queue.pool_workers import wake_up
from tenants.scope import system_scope

log = logging.getLogger(__name__)


def next_pool(
    order: Order, item: Item, engine: str, start: str, *, in_house: bool = False
) -> Pool | None:
    """Returns its own pool if another engine there may take it, else the next one, or None.

    `start` is the pool that the request was routed to. From there each pool has one turn, in the
    model's order, with hosted ones and those for failover last; without hosted ones if it is
    local-only, or `in_house`.
    """
    is_last = item.attempt >= classes.of(item.klass).most_attempts
    stays_here = order.local_only or in_house
    pools = [pool for pool in _serving(order) if not (stays_here and pool.hosted)]
    own = next((pool for pool in pools if pool.name == order.queue), None)
    if own is None:  # it drains, or was removed
        return None if is_last else _first_up(pools)
    stays = other_available(own, engine)
    if stays and item.attempt == 1:
        return own
    if not is_last and (untried := _first_up(_untried(pools, own.name, start))):
        return untried
    may_again = not is_last or breakers.phase(engine) is not Phase.CLOSED
    return own if stays and may_again else None


def own_pool(order: Order) -> Pool | None:
    """Returns its present pool, if an engine of that is available."""
    own = [pool for pool in _serving(order) if pool.name == order.queue]
    return _first_up(own)


def _serving(order: Order) -> list[Pool]:
    """Returns the pools of its model that have its adapter."""
    return [pool for pool in pools_of(order.model) if pool.serves(order.adapter)]


def _untried(pools: list[Pool], own: str, start: str) -> list[Pool]:
    names = [pool.name for pool in pools]
    begin = names.index(start) if start in names else names.index(own)
    turns = pools[begin + 1 :] + pools[:begin]
    turns = [pools[begin], *sorted(turns, key=lambda pool: pool.comes_later)]
    return turns[[pool.name for pool in turns].index(own) + 1 :]


def _first_up(pools: list[Pool]) -> Pool | None:
    return next((pool for pool in pools if any(map(reachability.available, pool.engines))), None)


def other_available(pool: Pool, engine: str) -> bool:
    return any(each.config.id != engine and reachability.available(each) for each in pool.engines)


async def fail_over(
    queue: FairQueue, to: Pool, item: Item, ciphertext: bytes, prefixes: str = ""
) -> None:
    """Move a request. Raises RedisGone, DatabaseError; it may be repeated.

    `prefixes`: hashes of its prompt, by which its queue learns which engine has it instead.

    A request whose lease expired, while this host was cut off, belongs to another runner.
    """
    if not await queue.holds(item):
        return
    if to.name == queue.pool:
        await _put_back(queue, to, item, ciphertext, prefixes)
        return
    again = msgspec.structs.replace(item, attempt=item.attempt + 1)
    if await database_sync_to_async(_record_pool)(UUID(item.id), to.name):
        if await queue.of(to.name).enqueue(again, ciphertext, prefixes):
            wake_up(to.name)
        log.warning("request %s goes on in pool %s", item.id, to.name)
    await queue.end_lease(item, 0)  # also if it was settled meanwhile


async def _put_back(
    queue: FairQueue, pool: Pool, item: Item, ciphertext: bytes, prefixes: str
) -> None:
    """Requeue it for another engine of the pool. After a crash the sweeper does it."""
    last = classes.of(item.klass).most_attempts
    attempt = max(item.attempt, min(item.attempt + 1, last))
    again = msgspec.structs.replace(item, attempt=attempt)
    if not await queue.end_lease(item, 0):
        return  # the sweeper has it
    if await queue.enqueue(again, ciphertext, prefixes):
        wake_up(pool.name)
    log.warning("request %s goes on at another engine of pool %s", item.id, pool.name)


def record_departure(order: Order, upstream: str) -> None:
    """Record that the request left for a service, once for each. Raises DatabaseError."""
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
        unsealed_notes.remember(event)


def belongs_elsewhere(request_id: UUID, pool: str) -> bool:
    """Returns whether another pool is recorded. Earlier versions recorded none."""
    others = Completion.objects.filter(pk=request_id).exclude(pool__in=["", pool])
    return others.exists()


def _record_pool(completion_id: UUID, pool: str) -> bool:
    return bool(Completion.objects.open().filter(pk=completion_id).update(pool=pool))
