"""Figures of each pool over the last minutes: one query over the index on the time of usage."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.core.cache import caches
from django.db.models import Aggregate, CharField, Count, Max, Q, Sum
from django.utils import timezone

from console.usage.figures import LATENCY_WINDOW, LIVE_FOR, LIVE_WINDOW, Percentile
from inference.models import Usage


class LatestError(Aggregate):
    """The code of the last request that failed; None where none did."""

    template = (
        "(array_agg(%(expressions)s ORDER BY created_at DESC) "
        "FILTER (WHERE %(expressions)s <> ''))[1]"
    )
    output_field = CharField()


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """Figures of the last five minutes; `tokens_per_second` is of the last minute."""

    requests: int = 0
    errors: int = 0
    tokens_per_second: float = 0.0
    ttft_p50: int | None = None
    ttft_p95: int | None = None
    queue_p50: int | None = None
    queue_p95: int | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None


def by_pool() -> dict[str, PoolFigures]:
    """Return the figures by pool, cached for a moment: many viewers cost one query."""
    figures = caches["process"].get_or_set("figures:pools", _by_pool, LIVE_FOR)
    return cast("dict[str, PoolFigures]", figures)


def _by_pool() -> dict[str, PoolFigures]:
    now = timezone.now()
    recent = Usage.objects.filter(created_at__gte=now - timedelta(seconds=LATENCY_WINDOW))
    last_minute = Q(created_at__gte=now - timedelta(seconds=LIVE_WINDOW))
    failed = ~Q(error_code="")
    rows = recent.values("pool").annotate(
        requests=Count("pk"),
        errors=Count("pk", filter=failed),
        tokens=Sum("completion_tokens", filter=last_minute, default=0),
        ttft_p50=Percentile("ttft_ms", fraction=0.5),
        ttft_p95=Percentile("ttft_ms", fraction=0.95),
        queue_p50=Percentile("queue_ms", fraction=0.5),
        queue_p95=Percentile("queue_ms", fraction=0.95),
        last_error=LatestError("error_code"),
        last_error_at=Max("created_at", filter=failed),
    )
    return {row["pool"]: _figures(dict(row)) for row in rows.order_by()}


def _figures(row: dict[str, Any]) -> PoolFigures:
    del row["pool"]
    return PoolFigures(tokens_per_second=row.pop("tokens") / LIVE_WINDOW, **row)
