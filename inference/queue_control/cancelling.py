"""Cancels waiting requests by an operator, and notifies their clients."""

from uuid import UUID

from django.db import transaction

from audit.actions import Action
from audit.trail.record import act
from inference.models import Completion
from inference.order import Item, Order
from inference.queue.client import client
from inference.queue.fair_queue import CANCEL, prefix
from inference.queue_control.end_notice import tell_end
from inference.queue_control.waiting_items import Chosen
from inference.record import settle_unrun
from inference.record.recorded import recorded_order
from inference.record.statements import Outcome

STATUS, CODE = 403, "cancelled_by_operator"  # clients do not retry after this status
MESSAGE = "an operator of this platform cancelled the request while it waited"
CANCELLED = Outcome(state="cancelled", status=STATUS, finish_reason="cancelled", error_code=CODE)


def cancel(chosen: Chosen, *, by: str) -> int:
    """Cancel them. Returns how many are over, or end soon because they have begun.

    Raises redis.RedisError.
    """
    with transaction.atomic():
        items = {UUID(item.id): item for item in chosen.items}
        rows = Completion.objects.open().filter(pk__in=items, pool=chosen.pool)
        places = {row.pk: _cancelled(row) for row in rows.order_by("created_at")}
        ended = [pk for pk, place in places.items() if place != b"gone"]
        # A running one may be in its line again by now: it was preempted.
        _clear_lines(chosen.pool, [items[pk] for pk in ended if places[pk] == b"queued"])
        if ended:
            detail = {"pool": chosen.pool, "class": chosen.klass, **chosen.detail(ended)}
            act(Action.QUEUE_CANCEL, actor=by, tenant_id=chosen.tenant_id, detail=detail)
    return len(ended)


def _cancelled(completion: Completion) -> bytes:
    """Returns where it was: "queued", "running" or "gone"."""
    where = _out_of_queue(completion.pool, completion.pk)
    if where == b"gone":
        return where
    record = recorded_order(completion.pk)
    _notify(record[1] if record else None)
    if where == b"queued":
        settle_unrun.end(completion, CANCELLED)
    return where


def _out_of_queue(pool: str, request_id: UUID) -> bytes:
    script = client().register_script(CANCEL.text)
    where: bytes = script(keys=[prefix(pool)], args=[str(request_id)])
    return where


def _clear_lines(pool: str, items: list[Item]) -> None:
    """Remove them from their lines, or their tenants would seem to wait until their turn."""
    with client().pipeline(transaction=False) as clear:
        for item in items:
            clear.lrem(f"{prefix(pool)}:{item.klass}:line:{item.tenant}", -1, str(item))
        clear.execute()


def _notify(order: Order | None) -> None:
    if order and order.reply_to:
        tell_end(order, STATUS, CODE, MESSAGE)
