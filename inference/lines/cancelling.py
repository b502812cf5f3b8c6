"""Requests that wait are given up, by an operator's word: whoever waits for them is told."""

from uuid import UUID

from django.db import transaction

from audit.actions import Action
from audit.trail.record import act
from inference.lines.telling import tell_end
from inference.lines.waiting_items import Chosen
from inference.models import Completion
from inference.order import Item, Order
from inference.queue.client import client
from inference.queue.fair_queue import CANCEL, prefix
from inference.record import closing
from inference.record.recorded import recorded_order
from inference.record.statements import Outcome

STATUS, CODE = 403, "cancelled_by_operator"  # no status after which clients try again by themselves
MESSAGE = "an operator of this platform cancelled the request while it waited"
CANCELLED = Outcome(state="cancelled", status=STATUS, finish_reason="cancelled", error_code=CODE)


def cancel(chosen: Chosen, *, by: str) -> int:
    """How many are over, or told to end: those that have begun. Raises redis.RedisError."""
    with transaction.atomic():
        items = {UUID(item.id): item for item in chosen.items}
        rows = Completion.objects.open().filter(pk__in=items, pool=chosen.pool)
        found = {row.pk: _cancelled(row) for row in rows.order_by("created_at")}
        ended = [pk for pk, where in found.items() if where != b"gone"]
        # One that runs may stand there again by now: it was parked.
        _clear_lines(chosen.pool, [items[pk] for pk in ended if found[pk] == b"queued"])
        if ended:
            detail = {"pool": chosen.pool, "class": chosen.klass, **chosen.said(ended)}
            act(Action.QUEUE_CANCEL, actor=by, tenant_id=chosen.tenant_id, detail=detail)
    return len(ended)


def _cancelled(completion: Completion) -> bytes:
    """Where it was: "queued", "running" or "gone"."""
    where = _out_of_queue(completion.pool, completion.pk)
    if where == b"gone":
        return where
    found = recorded_order(completion.pk)
    _tell(found[1] if found else None)
    if where == b"queued":
        closing.end(completion, CANCELLED)
    return where


def _out_of_queue(pool: str, request_id: UUID) -> bytes:
    script = client().register_script(CANCEL.text)
    where: bytes = script(keys=[prefix(pool)], args=[str(request_id)])
    return where


def _clear_lines(pool: str, items: list[Item]) -> None:
    """Else each stays there until its turn, and its tenant seems to wait."""
    with client().pipeline(transaction=False) as clear:
        for item in items:
            clear.lrem(f"{prefix(pool)}:{item.klass}:line:{item.tenant}", -1, str(item))
        clear.execute()


def _tell(order: Order | None) -> None:
    if order and order.reply_to:
        tell_end(order, STATUS, CODE, MESSAGE)
