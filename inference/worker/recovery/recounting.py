"""Restores tenants' standing in a pool after Redis lost its data, from their usage.

Only the last minute counts: a tenant that had waited for less than that was owed nothing more, and
being idle earns no credit.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db.models import F, Sum

from inference.models import Usage
from inference.queue import fair_queue
from inference.queue.client import client
from inference.record.cost import GPU_MS_OF_A_TOKEN
from tenants.models import Tenant, TierPolicy

RECENT = timedelta(seconds=60)


class _Service(NamedTuple):
    klass: str
    tenant: UUID
    tokens: float  # for its weight


def recount(pool: str, epoch: bytes) -> None:
    """Restore it; it may be repeated in an epoch. Raises redis.RedisError, DatabaseError."""
    began = datetime.fromtimestamp(int(epoch) / 1000, UTC)
    words = [word for each in _beyond_the_least(_service(pool, began)) for word in each]
    client().register_script(fair_queue.RECOUNT.text)(
        keys=[fair_queue.prefix(pool)], args=[epoch, *map(str, words)]
    )


def _service(pool: str, until: datetime) -> list[_Service]:
    """Returns service in the fair queue's unit: Outcome.cost (inference/record/statements.py)."""
    lately = Usage.objects.filter(pool=pool, created_at__gt=until - RECENT, created_at__lte=until)
    used = lately.filter(cache="")  # cached answers use no engine
    of_gpus = 2 * F("gpu_ms") / GPU_MS_OF_A_TOKEN
    cost = Sum(F("prompt_tokens") + 2 * F("completion_tokens") + of_gpus)
    sums = list(used.values_list("klass", "tenant_id").annotate(cost=cost))
    weights = _weights({tenant for _, tenant, _ in sums})
    return [_Service(klass, tenant, tokens / weights[tenant]) for klass, tenant, tokens in sums]


def _weights(tenants: Iterable[UUID]) -> dict[UUID, int]:
    tiers = dict(Tenant.objects.filter(pk__in=tenants).values_list("pk", "tier"))
    by_tier = {tier: TierPolicy.objects.of(tier).weight for tier in set(tiers.values())}
    return {tenant: by_tier[tier] for tenant, tier in tiers.items()}


def _beyond_the_least(services: Iterable[_Service]) -> list[_Service]:
    """Returns the service beyond that of the least served tenant, where a new one starts."""
    by_class: dict[str, list[_Service]] = defaultdict(list)
    for each in services:
        by_class[each.klass].append(each)
    least = {klass: min(each.tokens for each in all_) for klass, all_ in by_class.items()}
    moved = [each._replace(tokens=each.tokens - least[each.klass]) for each in services]
    return [each for each in moved if each.tokens]
