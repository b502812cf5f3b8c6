"""Once a second: what Redis, a runner or a web process lost comes back from PostgreSQL.

1. Leases that ran out go back to the head of the queue (sweep.lua).
2. Requests on record that the queue does not know are put in again, from the sealed text that
   the audit trail keeps.
3. Requests past their deadline that nobody settled are closed as aborted, with one usage row.
"""

import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import orjson
from django.conf import settings
from django.db import connection
from kombu.exceptions import OperationalError

from audit.keyring import Unreadable, keyring
from audit.models import Payload
from inference import ledger
from inference.engines import served
from inference.ledger import Outcome
from inference.models import Completion
from inference.order import Order, unpacked
from inference.queue import fair_queue
from inference.queue.client import client
from inference.wake_up import wake_up
from tenants.admission import concurrency_key

log = logging.getLogger(__name__)
YOUNG = timedelta(seconds=2)  # younger requests may still be on their way into the queue
SETTLING_MS = 3_000  # after a loss, runners have this long to put back what they run
BATCH = 500


def sweep_all() -> None:
    for pool in served():
        epoch_age_ms = _sweep(pool)
        if epoch_age_ms > SETTLING_MS:
            _restore(pool)
    _close_overdue()


def _sweep(pool: str) -> int:
    script = client().register_script(fair_queue.SWEEP.text)
    wake, epoch_age_ms, *requeued = script(keys=[fair_queue.prefix(pool)], args=[BATCH])
    if requeued:
        log.warning("%s: %d requests taken back from a dead runner", pool, len(requeued))
    if wake:
        _wake(pool)
    return int(epoch_age_ms)


def _wake(pool: str) -> None:
    try:
        wake_up(pool)
    except (OperationalError, OSError) as problem:
        log.warning("%s: no wake-up could be sent: %s", pool, problem)


def _restore(pool: str) -> None:
    """Puts back what is on record as open but unknown to the queue."""
    now = datetime.now(UTC)
    open_ids = Completion.objects.open().filter(model=pool, created_at__lt=now - YOUNG)
    unknown = _unknown(pool, open_ids.order_by("created_at").values_list("id", flat=True)[:BATCH])
    if not unknown:
        return
    # Asked a second time: one that was settled in between has left the queue after its commit.
    for completion_id in open_ids.filter(id__in=unknown).values_list("id", flat=True):
        _enqueue_again(pool, completion_id)


def _unknown(pool: str, ids: Iterable[UUID]) -> list[UUID]:
    wanted = list(ids)
    if not wanted:
        return []
    known = client().hmget(f"{fair_queue.prefix(pool)}:orders", [str(i) for i in wanted])
    return [i for i, order in zip(wanted, known, strict=True) if order is None]


def _enqueue_again(pool: str, completion_id: UUID) -> None:
    found = on_record(completion_id)
    if found is None:
        return
    sealed, order = found
    # Attempt 2: whoever had it before, if anybody, may have given out events already.
    again = msgspec.structs.replace(order.item, attempt=2)
    told = client().register_script(fair_queue.ENQUEUE.text)(
        keys=[fair_queue.prefix(pool)],
        args=[again.klass, again.tenant, again.id, str(again), sealed, "head"],
    )
    log.warning("%s: request %s put back into the queue", pool, completion_id)
    if told == 0:
        _wake(pool)


def on_record(completion_id: UUID) -> tuple[bytes, Order] | None:
    """The request as it was received; None when its text has been erased."""
    payload = Payload.objects.filter(request_id=completion_id, field="request").first()
    if payload is None:
        return None
    place = ledger.request_place(payload.tenant_id.bytes, completion_id.bytes)
    try:
        text = keyring.by_id_now(payload.data_key_id).open(bytes(payload.sealed), place)
    except Unreadable:
        return None
    return payload.data_key_id.bytes + bytes(payload.sealed), unpacked(text)


def _close_overdue() -> None:
    """A web process and a runner both died, or no runner ever came."""
    limit = datetime.now(UTC) - timedelta(seconds=settings.REQUEST_DEADLINE_S + 30)
    overdue = Completion.objects.open().filter(created_at__lt=limit).values_list("id", flat=True)
    for completion_id in overdue[:BATCH]:
        if found := on_record(completion_id):
            abort(found[1])


def abort(order: Order) -> None:
    outcome = Outcome(state="failed", status=504, finish_reason="error", error_code="aborted")
    sealer = keyring.of_subject_now(order.tenant_id, order.subject_id)
    row = ledger.settled_row(order, outcome, sealer, time.time())
    with connection.cursor() as cursor:
        cursor.execute(ledger.SETTLED, [orjson.dumps([row]).decode()])
    keys = [fair_queue.prefix(order.model), concurrency_key(str(order.tenant_id))]
    client().register_script(fair_queue.SETTLE.text)(keys=keys, args=[str(order.item), 0])
    log.warning("request %s was closed: nobody had finished it in time", order.id)
