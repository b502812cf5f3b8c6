"""Cancels waiting requests that an operator has chosen, and notifies their clients."""

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from msgspec.structs import replace
from redis import RedisError

from audit.actions import Action
from audit.trail.record import act
from inference.models import Completion
from inference.order import Item, Order
from inference.queue.client import client
from inference.queue.fair_queue import CANCEL, TENANT_LINES, prefix, run_blocking
from inference.record import settle_unrun
from inference.record.outcome import Outcome
from inference.record.recorded_requests import recorded_order
from inference.stream import frames
from inference.stream.writer import CHANNEL_EXPIRES_S

log = logging.getLogger(__name__)
MOST_IDS = 20  # ids in an audit event
STATUS, CODE = 403, "cancelled_by_operator"  # clients do not retry after this status
MESSAGE = "an operator of this platform cancelled the request while it waited"
CANCELLED = Outcome(state="cancelled", status=STATUS, finish_reason="cancelled", error_code=CODE)


@dataclass(frozen=True, slots=True)
class Chosen:
    pool: str
    klass: str
    tenant_id: UUID
    items: tuple[Item, ...]
    more: int = 0  # further waiting ones

    def detail(self, ids: Collection[UUID]) -> dict[str, Any]:
        """Returns the detail of an audit event."""
        listed = {"request_ids": sorted(map(str, ids))} if len(ids) <= MOST_IDS else {}
        return {"requests": len(ids), **listed}


def chosen_request(pool: str, request_id: UUID) -> Chosen | None:
    """Returns the request; None if it is over, in another pool, or unreadable."""
    completion = Completion.objects.open().filter(pk=request_id, pool=pool).first()
    record = recorded_order(request_id) if completion else None
    if completion is None or record is None:
        return None
    item = replace(record[1].item, klass=completion.klass)
    return Chosen(pool, completion.klass, completion.tenant_id, (item,))


def chosen_line(pool: str, klass: str, tenant_id: UUID, most: int) -> Chosen:
    """Returns up to `most`, those that would begin first. Raises redis.RedisError."""
    answer = run_blocking(TENANT_LINES, pool, str(tenant_id), most, klass)
    _klass, length, _tenants, *items = answer[0] if answer else (klass, 0, 0)
    first = tuple(Item.parse(item) for item in items[::2])
    return Chosen(pool, klass, tenant_id, first, max(0, length - len(first)))


def tell_end(order: Order, status: int, code: str, message: str, retry_after_s: int = 0) -> None:
    """Notify the waiting web process, if any. Raises redis.RedisError."""
    frame = frames.error_frame(1, status, code, message)
    frame = replace(frame, id=order.id.bytes, retry_after=retry_after_s)
    channel = frames.channel(order.reply_to)
    data = frames.encrypted([frame], channel.encode())
    with client().pipeline(transaction=True) as tell:
        tell.xadd(channel, {"f": data})
        tell.expire(channel, CHANNEL_EXPIRES_S)
        tell.execute()


def cancel(chosen: Chosen, *, by: str) -> int:
    """Cancel them. Returns how many are over, or end soon because they have begun.

    Raises redis.RedisError if it is none because Redis failed.
    """
    with transaction.atomic():
        items = {UUID(item.id): item for item in chosen.items}
        rows = Completion.objects.open().filter(pk__in=items, pool=chosen.pool)
        places = _places(rows.order_by("created_at"))
        ended = [pk for pk, place in places.items() if place != b"gone"]
        # A running one may be in its line again by now: it was preempted.
        _clear_lines(chosen.pool, [items[pk] for pk in ended if places[pk] == b"queued"])
        if ended:
            detail = {"pool": chosen.pool, "class": chosen.klass, **chosen.detail(ended)}
            act(Action.QUEUE_CANCEL, actor=by, tenant_id=chosen.tenant_id, detail=detail)
    return len(ended)


def _places(rows: Iterable[Completion]) -> dict[UUID, bytes]:
    """Cancel each, and return where it was.

    What was cancelled before Redis failed stays so: its client knows it, and must not be charged.
    """
    places: dict[UUID, bytes] = {}
    for row in rows:
        try:
            with transaction.atomic():
                places[row.pk] = _cancelled(row)
        except RedisError:
            if not places:
                raise
            log.warning("Redis failed after %d of the requests were cancelled", len(places))
            break
    return places


def _cancelled(completion: Completion) -> bytes:
    """Returns where it was: "queued", "running" or "gone"."""
    where: bytes = run_blocking(CANCEL, completion.pool, str(completion.pk))
    if where == b"gone":
        return where
    record = recorded_order(completion.pk)
    if where == b"queued":
        settle_unrun.end(completion, CANCELLED)
    if record and record[1].reply_to:
        tell_end(record[1], STATUS, CODE, MESSAGE)
    return where


def _clear_lines(pool: str, items: list[Item]) -> None:
    """Remove them from their lines, or their tenants would seem to wait until their turn."""
    with suppress(RedisError), client().pipeline(transaction=False) as clear:
        for item in items:
            clear.lrem(f"{prefix(pool)}:{item.klass}:line:{item.tenant}", -1, str(item))
        clear.execute()
