"""Requests that wait where nobody takes them go to another pool of their model.

So it is with a pool that is no longer served, where those that no other may take end with a 503
that says so; and with one whose engines all drain, where they wait on instead.

The new pool is put on record first. Whatever dies after that, the sweeper finds the request there
and queues it. What a runner of the old pool has begun, it finishes.
"""

import logging
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from inference.current import about
from inference.engines import pools, pools_of
from inference.lines.telling import tell_end
from inference.models import Completion, Pool
from inference.order import Order
from inference.queue import fair_queue
from inference.queue.client import client
from inference.record import closing
from inference.record.recorded import recorded_order
from inference.record.statements import Outcome
from inference.worker.restoring import YOUNG, enqueue_again

log = logging.getLogger(__name__)
BATCH = 500
RETRY_AFTER_S = 5
NO_POOL = Outcome(state="failed", status=503, finish_reason="error", error_code="pool_removed")
MESSAGE = "the pool that was to serve this request was removed, and no other may; send it again"


def move_all() -> None:
    """Raises redis.RedisError, DatabaseError; the next look begins anew."""
    for pool in _gone():
        arguments = fair_queue.sweep_arguments(BATCH)  # what its runners died with waits again
        client().register_script(fair_queue.SWEEP.text)(
            keys=[fair_queue.prefix(pool)], args=arguments
        )
        _move(pool, is_gone=True)
    for pool in _draining():
        _move(pool, is_gone=False)


def _gone() -> set[str]:
    """Pools of open requests that neither this process nor PostgreSQL knows as served."""
    named = Completion.objects.open().exclude(pool="").values_list("pool", flat=True).distinct()
    if not (unknown := set(named) - pools().keys()):
        return set()
    there = Pool.objects.filter(name__in=unknown, engines__isnull=False)
    return unknown - set(there.values_list("name", flat=True))


def _draining() -> list[str]:
    """Pools that take nothing, while another one of their model does."""
    return [
        pool.name
        for pool in pools().values()
        if not pool.engines and any(other.engines for other in pools_of(pool.model))
    ]


def _waiting(pool: str) -> list[Completion]:
    """Those that no runner has. Younger ones may still be on their way into the queue."""
    old = datetime.now(UTC) - YOUNG
    found = Completion.objects.open().filter(pool=pool, created_at__lt=old)
    ids: Any = client().hkeys(f"{fair_queue.prefix(pool)}:on")
    run = {UUID(each.decode()) for each in ids}
    return [one for one in found.order_by("-created_at")[:BATCH] if one.id not in run]


def _move(pool: str, *, is_gone: bool) -> None:
    for completion in _waiting(pool):
        found = recorded_order(completion.id)
        order = found[1] if found else None
        to = _other_pool(completion.model, order)
        if not (to or is_gone) or not _taken_out(pool, completion.id):
            continue
        if to is None:
            _give_up(completion, order)
        elif _put_on_record(completion.id, pool, to):
            enqueue_again(to, completion.id)
            what = "request %s moved from pool %s to %s"
            log.warning(
                what, completion.id, pool, to, extra=about(completion.id, completion.tenant_id)
            )


def _taken_out(pool: str, completion_id: UUID) -> bool:
    take_out = client().register_script(fair_queue.TAKE_OUT.text)
    return bool(take_out(keys=[fair_queue.prefix(pool)], args=[str(completion_id)]))


def _other_pool(model: str, order: Order | None) -> str | None:
    """None for one whose text was erased, too: nobody could run it."""
    if order is None:
        return None
    open_ones = (pool for pool in pools_of(model) if not (order.local_only and pool.hosted))
    return next((pool.name for pool in open_ones), None)


def _put_on_record(completion_id: UUID, pool: str, to: str) -> bool:
    rows = Completion.objects.open().filter(pk=completion_id, pool=pool)
    return bool(rows.update(pool=to))


def _give_up(completion: Completion, order: Order | None) -> None:
    closing.end(completion, NO_POOL)
    what = "request %s ended: its pool %s was removed"
    log.warning(
        what, completion.id, completion.pool, extra=about(completion.id, completion.tenant_id)
    )
    if order and order.reply_to:
        tell_end(order, NO_POOL.status, NO_POOL.error_code, MESSAGE, RETRY_AFTER_S)
