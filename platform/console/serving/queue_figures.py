"""Waits of a pool's requests over the last minutes, by class and tenant."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Sum
from django.utils import timezone

from console.usage.figures import LATENCY_WINDOW, Percentile
from inference.models import Usage

_AMOUNTS = {
    "p50": Percentile("queue_ms", fraction=0.5),
    "p95": Percentile("queue_ms", fraction=0.95),
    "preempted": Sum("preemptions"),
}


@dataclass(frozen=True, slots=True)
class Waits:
    """Figures of requests that ended in the last five minutes.

    Waits are in ms, None where none has ended; `preempted` counts how often they gave their slots
    to a higher class.
    """

    p50: int | None = None
    p95: int | None = None
    preempted: int = 0


@dataclass(frozen=True, slots=True)
class PoolWaits:
    by_class: dict[str, Waits]
    by_tenant: dict[tuple[str, str], Waits]  # class and id


def pool_waits(pool: str, tenants: Collection[str]) -> PoolWaits:
    """Read the waits by two queries over the index on the time of usage."""
    since = timezone.now() - timedelta(seconds=LATENCY_WINDOW)
    rows = Usage.objects.filter(created_at__gte=since, pool=pool).order_by()
    of_tenants = rows.filter(tenant_id__in=[UUID(each) for each in tenants])
    return PoolWaits(
        {row["klass"]: _waits(row) for row in rows.values("klass").annotate(**_AMOUNTS)},
        {
            (row["klass"], str(row["tenant_id"])): _waits(row)
            for row in of_tenants.values("klass", "tenant_id").annotate(**_AMOUNTS)
        },
    )


def _waits(row: Any) -> Waits:
    return Waits(row["p50"], row["p95"], row["preempted"])
