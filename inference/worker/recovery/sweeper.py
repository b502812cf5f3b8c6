"""Repairs once a second, from PostgreSQL, what Redis, a runner or a web process lost.

1. Items with expired leases go back to the head of their lines (queue/sweep.lua).
2. Recorded requests that are missing in the queue are queued again (restoring.py).
3. Requests of a pool that is no longer served move to another (moving.py).
4. Requests that an operator put into a lower class wait in that one (queue_control/lowering.py).
5. Requests without valid access end, if no web process ends them (below).
6. Unsettled requests past their deadline are settled as aborted, with one usage row.
7. Checkpoints of requests that have been settled are deleted.
"""

import logging
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Q

from audit.models import Event
from inference import classes
from inference.engines import Pool, all_queues
from inference.log_context import about
from inference.models import Checkpoint, Completion
from inference.models.completion import CompletionQuerySet
from inference.queue import fair_queue
from inference.queue.pool_workers import asleep, wake, workers_of
from inference.queue_control.lowering import mend_lowered
from inference.record import settle_unrun
from inference.record.outcome import Outcome
from inference.record.recorded_requests import recorded_order
from inference.worker.recovery.moving import move_all
from inference.worker.recovery.restoring import YOUNG, restore
from tenants.models import Scope
from tenants.models.tenant import State

log = logging.getLogger(__name__)
SETTLING_MS = 3_000  # after a loss, runners have this long to put their items back
GRACE = timedelta(seconds=30)  # its runner may still be settling it
BATCH = 500
AFTER = timedelta(seconds=3)  # web processes have ended theirs by then
BATCHES = "/v1/batches"  # the route of their lines
REVOKED = Outcome(
    state="cancelled", status=401, finish_reason="cancelled", error_code="access_revoked"
)
_MAY_ASK = [Scope.INFERENCE, Scope.BATCH]
_without_access: dict[UUID, float] = {}  # requests, since when (monotonic)


def sweep_all() -> None:
    for pool in all_queues().values():
        if _sweep(pool) > SETTLING_MS:
            restore(pool.name)
    move_all()
    mend_lowered()
    end_revoked()
    _close_overdue()
    Checkpoint.objects.left_over().delete()


def _sweep(pool: Pool) -> int:
    arguments = fair_queue.sweep_arguments(BATCH)
    answer = fair_queue.run_blocking(fair_queue.SWEEP, pool.name, *arguments)
    needs_wake_up, epoch_age_ms, *requeued = answer
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


def end_revoked() -> None:
    """End requests of callers that have lost their access, if no web process does.

    The web process that waits for one ends it within a second (intake/access/revocation.py). One
    with an idempotency key goes on when that process dies. The jobs process ends or retries lines
    of batches, and pauses jobs, which may go on with another key (inference/jobs/access.py).
    Running ones are told to end, and are gone at a later call. Raises redis.RedisError.
    """
    since = datetime.now(UTC) - AFTER
    over = Q(api_key__revoked_at__lt=since) | Q(api_key__expires_at__lt=since)
    for completion in _open_requests().filter(over)[:BATCH]:
        _end_revoked(completion)
    for completion in _without_valid_access():
        _end_revoked(completion)


def _open_requests() -> CompletionQuerySet:
    """Returns those that nobody else ends: a job looks after its orders."""
    return Completion.objects.open().exclude(route=classes.JOB)


def _without_valid_access() -> list[Completion]:
    """Returns requests without access: of suspended or closing tenants, and of closed accounts.

    Requests of keys without their scopes count, too. No row has the time of the loss, so each is
    observed here for AFTER first.
    """
    lost = ~Q(tenant__state=State.ACTIVE) | Q(member__user__is_active=False)
    lost |= Q(api_key__isnull=False) & ~Q(api_key__scopes__overlap=_MAY_ASK)
    completions = list(_open_requests().exclude(route=BATCHES).filter(lost)[:BATCH])
    now = time.monotonic()
    since = {each.id: _without_access.get(each.id, now) for each in completions}
    _without_access.clear()
    _without_access.update(since)
    return [each for each in completions if now - since[each.id] > AFTER.total_seconds()]


def _end_revoked(completion: Completion) -> None:
    where = fair_queue.run_blocking(fair_queue.CANCEL, completion.queue, str(completion.id))
    on_its_way = completion.created_at > datetime.now(UTC) - YOUNG
    if where == b"running" or (where == b"gone" and on_its_way):
        return
    settle_unrun.end(completion, REVOKED)
    what = "request %s ended: whoever asked for it has lost their access"
    log.warning(what, completion.id, extra=about(completion.id, completion.tenant_id))
