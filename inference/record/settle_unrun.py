"""Settles a request that no runner has: it is past its deadline, or its person is erased."""

import logging
import time

import msgspec
import orjson
from django.db import connection

from audit.actions import Action
from audit.keys.keyring import Cipher, Unreadable, keyring
from audit.models import Event
from inference.log_context import about
from inference.models import Completion
from inference.order import Order
from inference.queue import fair_queue
from inference.queue.client import client
from inference.record import limit_usage, parked, request_rows, sql_statements
from inference.record.outcome import Outcome
from inference.record.recorded_requests import recorded_order
from tenants.quotas.charge import Charge
from tenants.rate_limits.held_slots import RELEASE, release_arguments

log = logging.getLogger(__name__)


def _outline(completion: Completion) -> Order:
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
        outlives_reader=False,
        body=b"",
        created_at=completion.created_at.timestamp(),
        deadline=0,
        estimate=0,
        weight=1,
        charge=Charge(api_key_id=completion.api_key_id, member_id=completion.member_id),
        pool=completion.pool,
        klass=completion.klass,
    )


def abort(completion: Completion, order: Order | None) -> None:
    """Settle a request past its deadline. `order` is None if its text has been erased."""
    order = _served_by(completion, order or _outline(completion))
    outcome = Outcome(state="failed", status=504, finish_reason="error", error_code="aborted")
    _close(completion, order, outcome, _cipher(order) if order.keeps_text else None)
    what = "request %s aborted: not finished by its deadline"
    log.warning(what, order.id, extra=about(order.id, order.tenant_id))


def _cipher(order: Order) -> Cipher | None:
    """Returns the cipher; None for an erased person, whose text is not stored."""
    try:
        return keyring.of_subject_now(order.tenant_id, order.subject_id)
    except Unreadable:
        return None


def end(completion: Completion, outcome: Outcome) -> None:
    """Settle a request that no runner has, without storing a text of it."""
    record = recorded_order(completion.id)
    order = record[1] if record else _outline(completion)
    _close(completion, _served_by(completion, order), outcome, None)


def _served_by(completion: Completion, order: Order) -> Order:
    """Returns the order with its present pool: it may have been handed to another one."""
    return msgspec.structs.replace(order, pool=completion.pool or order.queue)


def _close(completion: Completion, order: Order, outcome: Outcome, cipher: Cipher | None) -> None:
    before = parked.taken_now(order)
    if before != parked.NEVER:
        outcome = before.ended(outcome)
    row = request_rows.settled_row(order, outcome, cipher, time.time())
    row["klass"] = completion.klass  # an operator may have lowered it
    with connection.cursor() as cursor:
        cursor.execute(sql_statements.SETTLED, [orjson.dumps([row]).decode()])
    fair_queue.run_blocking(fair_queue.END_LEASE, order.queue, str(order.item), 0)
    used = limit_usage.used(outcome) or 0
    keys, args = release_arguments(
        limit_usage.slot(order), limit_usage.reserved_tokens(order), used
    )
    client().register_script(RELEASE.text)(keys=keys, args=args)
    if before != parked.NEVER:
        parked.forget_now(order)
