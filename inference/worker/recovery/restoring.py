"""Requeues recorded requests that are missing in the queue, from the recorded ciphertext.

Each round compares those received since the last one and, in turn, some of the others. Its progress
is in Redis beside the queue: if Redis loses data, or comes back with older data, the progress is
lost or older as well, so the next round finds the missing requests.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings
from django.db.models import F, Sum

from inference.log_context import about
from inference.models import Completion, Usage
from inference.models.completion import CompletionQuerySet
from inference.queue import fair_queue
from inference.queue.client import client
from inference.queue.pool_workers import wake_up
from inference.record import limit_usage
from inference.record.recorded_requests import recorded_order
from inference.record.work_units import GPU_MS_OF_A_TOKEN
from tenants.models import Tenant, TierPolicy
from tenants.rate_limits.held_slots import REACQUIRE, reacquire_arguments

log = logging.getLogger(__name__)
YOUNG = timedelta(seconds=2)  # younger requests may still be on their way into the queue
LATE = timedelta(seconds=30)  # a request may be recorded so long after `created_at`
BATCH = 500
START = datetime.fromtimestamp(0, UTC)  # of a round
RECENT = timedelta(seconds=60)


class _Progress(NamedTuple):
    epoch: bytes
    upto: datetime | None  # None: nothing has been compared
    round: datetime  # position of the round through all that wait


def restore(pool: str) -> None:
    """Requeue missing ones. Raises redis.RedisError, DatabaseError; the next call repeats it."""
    progress, now = _progress(pool), datetime.now(UTC)
    open_requests = Completion.objects.open().filter(pool=pool, created_at__lt=now - YOUNG)
    if progress.upto is None:
        if progress.epoch:  # else the queue has never been swept
            recount(pool, progress.epoch)
        ids, goes_on = list(open_requests.values_list("id", flat=True)), START
    else:
        since = min(progress.upto, now) - LATE
        fresh = open_requests.filter(created_at__gte=since).values_list("id", flat=True)
        others, goes_on = _next_of_round(open_requests, progress.round)
        ids = list({*fresh, *others})
    _put_back(pool, open_requests, ids)
    times = (now - YOUNG).isoformat(), goes_on.isoformat()
    fair_queue.run_blocking(fair_queue.COMPARED, pool, progress.epoch, *times)


def _progress(pool: str) -> _Progress:
    prefix = fair_queue.prefix(pool)
    with client().pipeline(transaction=True) as ask:
        ask.get(f"{prefix}:epoch")
        ask.hmget(f"{prefix}:compared", "upto", "round")
        epoch, (upto, round_) = ask.execute()
    return _Progress(epoch or b"", _time(upto), _time(round_) or START)


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text.decode()) if text else None


def _next_of_round(
    open_requests: CompletionQuerySet, after: datetime
) -> tuple[list[UUID], datetime]:
    """Returns up to BATCH ids, the oldest first, and where the round continues."""
    rows = list(
        open_requests.filter(created_at__gt=after)
        .order_by("created_at")
        .values_list("id", "created_at")[:BATCH]
    )
    return [row[0] for row in rows], rows[-1][1] if len(rows) == BATCH else START


def _put_back(pool: str, open_requests: CompletionQuerySet, ids: list[UUID]) -> None:
    unknown = _unknown(pool, ids)
    if not unknown:
        return
    # Read again, since a request that was settled meanwhile left the queue after its commit.
    # Newest first: each goes to the head of its line, so that the oldest is first in the end.
    still_open = open_requests.filter(id__in=unknown).order_by("-created_at")
    for completion_id in still_open.values_list("id", flat=True):
        enqueue_again(pool, completion_id)


def _unknown(pool: str, ids: list[UUID]) -> list[UUID]:
    unknown: list[UUID] = []
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        orders = client().hmget(f"{fair_queue.prefix(pool)}:orders", [str(i) for i in batch])
        unknown += [i for i, value in zip(batch, orders, strict=True) if value is None]
    return unknown


def enqueue_again(pool: str, completion_id: UUID) -> None:
    """Requeue it at the head of its tenant's line, in the class of its record."""
    record = recorded_order(completion_id)
    if record is None:
        return
    ciphertext, order = record
    # Attempt 2: an earlier runner, if there was one, may have sent events already.
    klass = Completion.objects.values_list("klass", flat=True).get(pk=completion_id)
    again = msgspec.structs.replace(order.item, attempt=2, klass=klass)
    arguments = fair_queue.enqueue_arguments(again, ciphertext, "head")
    awake, *_ = fair_queue.run_blocking(fair_queue.ENQUEUE, pool, *arguments)
    keys, args = reacquire_arguments(limit_usage.slot(order), settings.REQUEST_DEADLINE_S)
    client().register_script(REACQUIRE.text)(keys=keys, args=args)
    extra = about(completion_id, order.tenant_id)
    log.warning("%s: requeued request %s", pool, completion_id, extra=extra)
    if awake == 0:
        wake_up(pool)


class _Work(NamedTuple):
    klass: str
    tenant: UUID
    tokens: float  # for its weight


def recount(pool: str, epoch: bytes) -> None:
    """Restore tenants' standing in a pool after Redis lost its data, from their usage.

    Only the last minute counts: a tenant that had waited for less than that was owed nothing more,
    and being idle earns no credit. It may be repeated in an epoch. Raises redis.RedisError,
    DatabaseError.
    """
    began = datetime.fromtimestamp(int(epoch) / 1000, UTC)
    words = [word for each in _beyond_the_least(_work_done(pool, began)) for word in each]
    fair_queue.run_blocking(fair_queue.RECOUNT, pool, epoch, *map(str, words))


def _work_done(pool: str, until: datetime) -> list[_Work]:
    """Returns the work units of each tenant's recent requests."""
    lately = Usage.objects.filter(pool=pool, created_at__gt=until - RECENT, created_at__lte=until)
    used = lately.filter(cache="")  # cached answers use no engine
    of_gpus = 2 * F("gpu_ms") / GPU_MS_OF_A_TOKEN
    cost = Sum(F("prompt_tokens") + 2 * F("completion_tokens") + of_gpus)
    sums = list(used.values_list("klass", "tenant_id").annotate(cost=cost))
    weights = _weights({tenant for _, tenant, _ in sums})
    return [_Work(klass, tenant, tokens / weights[tenant]) for klass, tenant, tokens in sums]


def _weights(tenants: Iterable[UUID]) -> dict[UUID, int]:
    tiers = dict(Tenant.objects.filter(pk__in=tenants).values_list("pk", "tier"))
    by_tier = {tier: TierPolicy.objects.of(tier).weight for tier in set(tiers.values())}
    return {tenant: by_tier[tier] for tenant, tier in tiers.items()}


def _beyond_the_least(works: Iterable[_Work]) -> list[_Work]:
    """Returns the work beyond that of the least served tenant, where a new one starts."""
    by_class: dict[str, list[_Work]] = defaultdict(list)
    for each in works:
        by_class[each.klass].append(each)
    least = {klass: min(each.tokens for each in all_) for klass, all_ in by_class.items()}
    moved = [each._replace(tokens=each.tokens - least[each.klass]) for each in works]
    return [each for each in moved if each.tokens]
