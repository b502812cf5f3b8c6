"""Moves requests from a pool that takes none any more to another pool of their model.

From a removed pool, requests that no other pool may take end with a 503 that explains it. In a pool
whose engines all drain, they wait on instead. Jobs that wait in a pool move to its queue for jobs
when the pool begins to lend engines, and back when it lends no more.

The new pool is recorded first. After a crash the sweeper queues the request there. A runner of the
old pool finishes its running requests.
"""

import logging
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from inference import classes
from inference.engines import all_queues, pools, pools_of
from inference.log_context import about
from inference.models import Completion, Pool
from inference.order import Order
from inference.pool_policy import JOBS
from inference.queue import fair_queue
from inference.queue.client import client
from inference.queue_control.cancelling import tell_end
from inference.record import settle_unrun
from inference.record.outcome import Outcome
from inference.record.recorded_requests import recorded_order
from inference.worker.recovery.restoring import YOUNG, enqueue_again

log = logging.getLogger(__name__)
BATCH = 500
RETRY_AFTER_S = 5
NO_POOL = Outcome(state="failed", status=503, finish_reason="error", error_code="pool_removed")
MESSAGE = "the pool that was to serve this request was removed, and no other may; send it again"


def move_all() -> None:
    """Move them. Raises redis.RedisError, DatabaseError; the next call starts over."""
    for pool in _removed_pools():
        # Requeue the requests of dead runners.
        fair_queue.run_blocking(fair_queue.SWEEP, pool, *fair_queue.sweep_arguments(BATCH))
        _move(pool, is_gone=True)
    for pool in _draining():
        _move(pool, is_gone=False)
    for queue in all_queues().keys() - pools().keys():
        _move_jobs(queue.removesuffix(JOBS), queue)


def _removed_pools() -> set[str]:
    """Returns pools of open requests that neither this process nor PostgreSQL serves."""
    pool_names = (
        Completion.objects.open().exclude(pool="").values_list("pool", flat=True).distinct()
    )
    if not (unknown := set(pool_names) - all_queues().keys()):
        return set()
    pool_of = {name: name.removesuffix(JOBS) for name in unknown}
    rows = Pool.objects.filter(name__in=pool_of.values(), engines__isnull=False)
    existing = dict(rows.values_list("name", "lending"))
    return {
        name
        for name, pool in pool_of.items()
        if pool not in existing or (name != pool and not existing[pool])
    }


def _draining() -> list[str]:
    return [
        pool.name
        for pool in pools().values()
        if not pool.engines and any(other.engines for other in pools_of(pool.model))
    ]


def _waiting(pool: str, **which: str) -> list[Completion]:
    """Returns requests without a runner. Younger ones may still be on their way into the queue."""
    old = datetime.now(UTC) - YOUNG
    open_requests = Completion.objects.open().filter(pool=pool, created_at__lt=old, **which)
    ids: Any = client().hkeys(f"{fair_queue.prefix(pool)}:on")
    running = {UUID(each.decode()) for each in ids}
    return [
        each for each in open_requests.order_by("-created_at")[:BATCH] if each.id not in running
    ]


def _move_jobs(pool: str, queue: str) -> None:
    for completion in _waiting(pool, route=classes.JOB):
        moves = fair_queue.run_blocking(fair_queue.TAKE_OUT, pool, str(completion.id))
        if moves and _record_pool(completion.id, pool, queue):
            enqueue_again(queue, completion.id)


def _move(pool: str, *, is_gone: bool) -> None:
    for completion in _waiting(pool):
        record = recorded_order(completion.id)
        order = record[1] if record else None
        to = _other_pool(completion.model, order)
        take_out = fair_queue.TAKE_OUT, pool, str(completion.id)
        if not (to or is_gone) or not fair_queue.run_blocking(*take_out):
            continue
        if to is None:
            _give_up(completion, order)
        elif _record_pool(completion.id, pool, to):
            enqueue_again(to, completion.id)
            what = "request %s moved from pool %s to %s"
            log.warning(
                what, completion.id, pool, to, extra=about(completion.id, completion.tenant_id)
            )


def _other_pool(model: str, order: Order | None) -> str | None:
    """Returns another pool; None also for a request whose text is erased, which cannot run."""
    if order is None:
        return None
    open_ones = (pool for pool in pools_of(model) if not (order.local_only and pool.hosted))
    return next((pool.name for pool in open_ones if pool.serves(order.adapter)), None)


def _record_pool(completion_id: UUID, pool: str, to: str) -> bool:
    rows = Completion.objects.open().filter(pk=completion_id, pool=pool)
    return bool(rows.update(pool=to))


def _give_up(completion: Completion, order: Order | None) -> None:
    settle_unrun.end(completion, NO_POOL)
    what = "request %s ended: its pool %s was removed"
    log.warning(
        what, completion.id, completion.pool, extra=about(completion.id, completion.tenant_id)
    )
    if order and order.reply_to:
        tell_end(order, NO_POOL.status, NO_POOL.error_code, MESSAGE, RETRY_AFTER_S)
