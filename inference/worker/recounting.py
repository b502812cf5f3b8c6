"""After Redis lost its data, tenants of a pool stand as they did: by what usage says of them.

Only the last minute counts: who had waited for less than that had no more coming to it, and being
idle earns no credit.
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
from tenants.models import Tenant, TierPolicy

RECENT = timedelta(seconds=60)


class _Had(NamedTuple):
    klass: str
    tenant: UUID
    tokens: float  # for its weight


def recount(pool: str, epoch: bytes) -> None:
    """Any number of times in an epoch. Raises redis.RedisError, DatabaseError."""
    began = datetime.fromtimestamp(int(epoch) / 1000, UTC)
    told = [word for had in _beyond_the_least(_had(pool, began)) for word in had]
    client().register_script(fair_queue.RECOUNT.text)(
        keys=[fair_queue.prefix(pool)], args=[epoch, *map(str, told)]
    )


def _had(pool: str, until: datetime) -> list[_Had]:
    """In the fair queue's unit: Outcome.cost (inference/record/statements.py)."""
    lately = Usage.objects.filter(pool=pool, created_at__gt=until - RECENT, created_at__lte=until)
    used = lately.filter(cache="")  # kept answers take nothing of an engine
    cost = Sum(F("prompt_tokens") + 2 * F("completion_tokens"))
    sums = list(used.values_list("klass", "tenant_id").annotate(cost=cost))
    weights = _weights({tenant for _, tenant, _ in sums})
    return [_Had(klass, tenant, tokens / weights[tenant]) for klass, tenant, tokens in sums]


def _weights(tenants: Iterable[UUID]) -> dict[UUID, int]:
    tiers = dict(Tenant.objects.filter(pk__in=tenants).values_list("pk", "tier"))
    by_tier = {tier: TierPolicy.objects.of(tier).weight for tier in set(tiers.values())}
    return {tenant: by_tier[tier] for tenant, tier in tiers.items()}


def _beyond_the_least(found: Iterable[_Had]) -> list[_Had]:
    """Who comes anew stands beside the one that has had the least."""
    by_class: dict[str, list[_Had]] = defaultdict(list)
    for had in found:
        by_class[had.klass].append(had)
    least = {klass: min(had.tokens for had in all_) for klass, all_ in by_class.items()}
    moved = [had._replace(tokens=had.tokens - least[had.klass]) for had in found]
    return [had for had in moved if had.tokens]
