"""Once a second: what Redis, a runner or a web process lost comes back from PostgreSQL.

1. Leases that ran out go back to the head of the queue (sweep.lua).
2. Requests on record that the queue does not know are put in again, from the sealed text that
   the audit trail keeps.
3. Requests past their deadline that nobody settled are closed as aborted, with one usage row.
"""

import logging
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import orjson
from django.conf import settings
from django.db import DatabaseError, connection
from kombu.exceptions import OperationalError

from audit.actions import Action
from audit.keys.keyring import Sealer, Unreadable, keyring
from audit.models import Event, Payload
from inference.engines import served
from inference.models import Completion
from inference.order import Order, unpacked
from inference.queue import fair_queue
from inference.queue.client import client
from inference.queue.wake_up import wake_up
from inference.record import ledger, places
from inference.record.ledger import Outcome
from tenants.quotas.charge import Charge
from tenants.rate_limits.release import GIVE_BACK, HOLD, held, settled

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
        return payload.data_key_id.bytes + bytes(payload.sealed), unpacked(text)
    except (Unreadable, msgspec.DecodeError) as problem:
        log.error("request %s cannot be read any more: %s", completion_id, problem)
        return None


def _close_overdue() -> None:
    """A web process and a runner both died, or no runner ever came."""
    limit = datetime.now(UTC) - timedelta(seconds=settings.REQUEST_DEADLINE_S + 30)
    for completion in Completion.objects.open().filter(created_at__lt=limit)[:BATCH]:
        found = on_record(completion.id)
        try:
            abort(found[1] if found else _outline(completion))
        except (DatabaseError, Event.DoesNotExist):  # the others must not wait for it
            log.exception("request %s cannot be closed", completion.id)


def _outline(completion: Completion) -> Order:
    """What can be said of a request whose text is gone."""
    received = Event.objects.get(request_id=completion.id, action=Action.COMPLETION_RECEIVED)
    return Order(
        id=completion.id,
        tenant_id=completion.tenant_id,
        subject_id=received.subject_id or completion.id,
        actor=received.actor,
        client_ip=received.client_net or "",
        model=completion.model,
        route=completion.route,
        chat=True,
        stream=completion.stream,
        include_usage=False,
        reply_to="",
        detached=False,
        body=b"",
        created_at=completion.created_at.timestamp(),
        deadline=0,
        estimate=0,
        weight=1,
        charge=Charge(api_key_id=completion.api_key_id, member_id=completion.member_id),
    )


def abort(order: Order) -> None:
    outcome = Outcome(state="failed", status=504, finish_reason="error", error_code="aborted")
    _close(order, outcome, _sealer(order) if order.detached else None)
    log.warning("request %s was closed: nobody had finished it in time", order.id)


def _sealer(order: Order) -> Sealer | None:
    """None for who has been erased: no text is kept."""
    try:
        return keyring.of_subject_now(order.tenant_id, order.subject_id)
    except Unreadable:
        return None


def end(completion: Completion, outcome: Outcome) -> None:
    """Settles a request that nobody runs, without keeping a text of it."""
    found = on_record(completion.id)
    _close(found[1] if found else _outline(completion), outcome, None)


def _close(order: Order, outcome: Outcome, sealer: Sealer | None) -> None:
    row = ledger.settled_row(order, outcome, sealer, time.time())
    with connection.cursor() as cursor:
        cursor.execute(ledger.SETTLED, [orjson.dumps([row]).decode()])
    client().register_script(fair_queue.SETTLE.text)(
        keys=[fair_queue.prefix(order.model)], args=[str(order.item), 0]
    )
    keys, args = settled(places.place(order), places.set_aside(order), 0)
    client().register_script(GIVE_BACK.text)(keys=keys, args=args)
