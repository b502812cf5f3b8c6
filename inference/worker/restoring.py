"""Requests on record that the queue does not know go in again, from the ciphertext on record.

Each look takes those that were received since the last one and, in turn, some of the others. How
far it has come stands in Redis beside the queue: when Redis loses data, or comes back with older
data, that is lost or older as well, and what is missing is found at the next look.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings

from inference.current import about
from inference.models import Completion
from inference.models.completion import CompletionQuerySet
from inference.queue import fair_queue
from inference.queue.client import client
from inference.queue.wake_up import wake_up
from inference.record import slots
from inference.record.recorded import recorded_order
from inference.worker.recounting import recount
from tenants.rate_limits.release import REACQUIRE, reacquire_arguments

log = logging.getLogger(__name__)
YOUNG = timedelta(seconds=2)  # younger requests may still be on their way into the queue
LATE = timedelta(seconds=30)  # so long after `created_at` may one come on record
BATCH = 500
START = datetime.fromtimestamp(0, UTC)  # of a round


class _Progress(NamedTuple):
    epoch: bytes
    upto: datetime | None  # None: nothing has been compared
    round: datetime  # of the round through all that wait


def restore(pool: str) -> None:
    """Raises redis.RedisError, DatabaseError; the next look begins where this one did."""
    progress, now = _progress(pool), datetime.now(UTC)
    due = Completion.objects.open().filter(pool=pool, created_at__lt=now - YOUNG)
    if progress.upto is None:
        if progress.epoch:  # else no sweeper has been here
            recount(pool, progress.epoch)
        ids, goes_on = list(due.values_list("id", flat=True)), START
    else:
        since = min(progress.upto, now) - LATE
        fresh = due.filter(created_at__gte=since).values_list("id", flat=True)
        others, goes_on = _next_of_round(due, progress.round)
        ids = list({*fresh, *others})
    _put_back(pool, due, ids)
    client().register_script(fair_queue.COMPARED.text)(
        keys=[fair_queue.prefix(pool)],
        args=[progress.epoch, (now - YOUNG).isoformat(), goes_on.isoformat()],
    )


def _progress(pool: str) -> _Progress:
    prefix = fair_queue.prefix(pool)
    with client().pipeline(transaction=True) as ask:
        ask.get(f"{prefix}:epoch")
        ask.hmget(f"{prefix}:compared", "upto", "round")
        epoch, (upto, round_) = ask.execute()
    return _Progress(epoch or b"", _time(upto), _time(round_) or START)


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text.decode()) if text else None


def _next_of_round(due: CompletionQuerySet, after: datetime) -> tuple[list[UUID], datetime]:
    """Up to BATCH ids, the oldest first, and where the round goes on."""
    rows = list(
        due.filter(created_at__gt=after)
        .order_by("created_at")
        .values_list("id", "created_at")[:BATCH]
    )
    return [row[0] for row in rows], rows[-1][1] if len(rows) == BATCH else START


def _put_back(pool: str, due: CompletionQuerySet, ids: list[UUID]) -> None:
    unknown = _unknown(pool, ids)
    if not unknown:
        return
    # Asked a second time: one that was settled in between has left the queue after its commit.
    # Newest first: each goes to the head of its line, so that the oldest ends up in front.
    still_open = due.filter(id__in=unknown).order_by("-created_at")
    for completion_id in still_open.values_list("id", flat=True):
        enqueue_again(pool, completion_id)


def _unknown(pool: str, ids: list[UUID]) -> list[UUID]:
    unknown: list[UUID] = []
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        known = client().hmget(f"{fair_queue.prefix(pool)}:orders", [str(i) for i in batch])
        unknown += [i for i, order in zip(batch, known, strict=True) if order is None]
    return unknown


def enqueue_again(pool: str, completion_id: UUID) -> None:
    """At the head of its tenant's line, in the class that the record says."""
    found = recorded_order(completion_id)
    if found is None:
        return
    ciphertext, order = found
    # Attempt 2: whoever had it before, if anybody, may have given out events already.
    klass = Completion.objects.values_list("klass", flat=True).get(pk=completion_id)
    again = msgspec.structs.replace(order.item, attempt=2, klass=klass)
    told, *_ = client().register_script(fair_queue.ENQUEUE.text)(
        keys=[fair_queue.prefix(pool)],
        args=fair_queue.enqueue_arguments(again, ciphertext, "head"),
    )
    keys, args = reacquire_arguments(slots.slot(order), settings.REQUEST_DEADLINE_S)
    client().register_script(REACQUIRE.text)(keys=keys, args=args)
    extra = about(completion_id, order.tenant_id)
    log.warning("%s: requeued request %s", pool, completion_id, extra=extra)
    if told == 0:
        wake_up(pool)
