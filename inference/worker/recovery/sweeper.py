"""Repairs once a second, from PostgreSQL, what Redis, a runner or a web process lost.

1. Items with expired leases go back to the head of their lines (sweep.lua).
2. Recorded requests that are missing in the queue are queued again (restoring.py).
3. Requests of a pool that is no longer served move to another (moving.py).
4. Requests that an operator put into a lower class wait in that one (queue_control/lowering.py).
5. Requests without valid access end, if no web process ends them (revoking.py).
6. Unsettled requests past their deadline are settled as aborted, with one usage row.
7. Checkpoints of requests that have been settled are deleted.
"""

import logging
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError

from audit.models import Event
from inference.engines import Pool, pools
from inference.log_context import about
from inference.models import Checkpoint, Completion
from inference.queue import fair_queue
from inference.queue.client import client
from inference.queue.pool_workers import asleep, workers_of
from inference.queue.wake_up import wake
from inference.queue_control.lowering import mend_lowered
from inference.record import settle_unrun
from inference.record.recorded import recorded_order
from inference.worker.recovery.moving import move_all
from inference.worker.recovery.restoring import restore
from inference.worker.recovery.revoking import end_revoked

log = logging.getLogger(__name__)
SETTLING_MS = 3_000  # after a loss, runners have this long to put their items back
GRACE = timedelta(seconds=30)  # its runner may still be settling it
BATCH = 500


def sweep_all() -> None:
    for pool in pools().values():
        if _sweep(pool) > SETTLING_MS:
            restore(pool.name)
    move_all()
    mend_lowered()
    end_revoked()
    _close_overdue()
    Checkpoint.objects.left_over().delete()


def _sweep(pool: Pool) -> int:
    script = client().register_script(fair_queue.SWEEP.text)
    arguments = fair_queue.sweep_arguments(BATCH)
    needs_wake_up, epoch_age_ms, *requeued = script(
        keys=[fair_queue.prefix(pool.name)], args=arguments
    )
    if requeued:
        log.warning("%s: requeued %d requests of a dead runner", pool.name, len(requeued))
    # A runner lives, but perhaps not one for each worker.
    workers = workers_of(pool.name)
    if needs_wake_up or (len(workers) > 1 and fair_queue.lengths().get(pool.name)):
        wake(asleep(workers))
    return int(epoch_age_ms)


def _close_overdue() -> None:
    """Settle overdue requests: web process and runner died, or no runner ever took them."""
    for completion in Completion.objects.overdue(datetime.now(UTC) - GRACE)[:BATCH]:
        record = recorded_order(completion.id)
        try:
            settle_unrun.abort(completion, record[1] if record else None)
        except (DatabaseError, Event.DoesNotExist):  # it must not delay the others
            log.exception(
                "cannot close request %s",
                completion.id,
                extra=about(completion.id, completion.tenant_id),
            )
