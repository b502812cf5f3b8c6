"""Once a second: what Redis, a runner or a web process lost comes back from PostgreSQL.

1. Leases that ran out go back to the head of the queue (sweep.lua).
2. Requests on record that the queue does not know are put in again, from the sealed text that
   the audit trail keeps.
3. Requests past their deadline that nobody settled are closed as aborted, with one usage row.
"""

import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import DatabaseError
from kombu.exceptions import OperationalError

from audit.models import Event
from inference.engines import served
from inference.models import Completion
from inference.queue import fair_queue
from inference.queue.client import client
from inference.queue.wake_up import wake_up
from inference.record import closing, places
from inference.record.recorded import on_record
from tenants.rate_limits.release import HOLD, held

log = logging.getLogger(__name__)
YOUNG = timedelta(seconds=2)  # younger requests may still be on their way into the queue
SETTLING_MS = 3_000  # after a loss, runners have this long to put back what they run
BATCH = 500


def sweep_all() -> None:
    for pool in served():
        if _sweep(pool) > SETTLING_MS:
            _restore(pool)
    _close_overdue()


def _sweep(pool: str) -> int:
    script = client().register_script(fair_queue.SWEEP.text)
    arguments = fair_queue.sweep_arguments(BATCH)
    wake, epoch_age_ms, *requeued = script(keys=[fair_queue.prefix(pool)], args=arguments)
    if requeued:
        log.warning("%s: requeued %d requests of a dead runner", pool, len(requeued))
    if wake:
        _wake(pool)
    return int(epoch_age_ms)


def _wake(pool: str) -> None:
    try:
        wake_up(pool)
    except (OperationalError, OSError) as problem:
        log.warning("%s: cannot send a wake-up: %s", pool, problem)


def _restore(pool: str) -> None:
    """Puts back what is on record as open but unknown to the queue."""
    older = Completion.objects.open().filter(model=pool, created_at__lt=datetime.now(UTC) - YOUNG)
    unknown = _unknown(pool, list(older.values_list("id", flat=True)))
    # Asked a second time: one that was settled in between has left the queue after its commit.
    # Newest first: each goes to the head of its line, so that the oldest ends up in front.
    still_open = older.filter(id__in=unknown).order_by("-created_at")
    for completion_id in still_open.values_list("id", flat=True):
        _enqueue_again(pool, completion_id)


def _unknown(pool: str, ids: list[UUID]) -> list[UUID]:
    unknown: list[UUID] = []
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        known = client().hmget(f"{fair_queue.prefix(pool)}:orders", [str(i) for i in batch])
        unknown += [i for i, order in zip(batch, known, strict=True) if order is None]
    return unknown


def _enqueue_again(pool: str, completion_id: UUID) -> None:
    found = on_record(completion_id)
    if found is None:
        return
    sealed, order = found
    # Attempt 2: whoever had it before, if anybody, may have given out events already.
    again, carried = msgspec.structs.replace(order.item, attempt=2), fair_queue.carried(sealed)
    told = client().register_script(fair_queue.ENQUEUE.text)(
        keys=[fair_queue.prefix(pool)],
        args=[again.klass, again.tenant, again.id, str(again), carried, "head"],
    )
    keys, args = held(places.place(order), settings.REQUEST_DEADLINE_S)
    client().register_script(HOLD.text)(keys=keys, args=args)
    log.warning("%s: requeued request %s", pool, completion_id)
    if told == 0:
        _wake(pool)


def _close_overdue() -> None:
    """A web process and a runner both died, or no runner ever came."""
    limit = datetime.now(UTC) - timedelta(seconds=settings.REQUEST_DEADLINE_S + 30)
    for completion in Completion.objects.open().filter(created_at__lt=limit)[:BATCH]:
        found = on_record(completion.id)
        try:
            closing.abort(completion, found[1] if found else None)
        except (DatabaseError, Event.DoesNotExist):  # the others must not wait for it
            log.exception("cannot close request %s", completion.id)
