"""Figures of the overview: short windows over Usage and Completion, on their indexes.

No more than the last five minutes of rows are read repeatedly; older minutes are remembered
(usage_by_minute.py) or summed (inference/usage/).

A scope is one tenant, or None for all of them. Answers are cached for a moment, so that the number
of viewers does not matter to the database.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar, cast

from django.core.cache import caches
from django.db.models import Aggregate, Count, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone

from console.usage import health, usage_by_minute
from console.usage.health import Health
from console.usage.waiting_requests import WaitingCount, waiting
from inference.models import Completion, State, Usage
from tenants.models import Refusal, Tenant
from tenants.roles import Permission

LIVE_WINDOW, LATENCY_WINDOW, CHART_MINUTES = 60, 300, 30
REFUSED_MINUTES = 5  # the present one and those before it
LIVE_FOR, CHART_FOR = 2, 10  # seconds an answer is good for
T = TypeVar("T")


class Percentile(Aggregate):
    """percentile_disc; rows without a value do not count."""

    template = "percentile_disc(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = IntegerField()


@dataclass(frozen=True, slots=True)
class Live:
    requests_per_minute: int
    tokens_per_second: float
    errors: int
    ttft_p50: int | None
    ttft_p95: int | None
    in_progress: int
    waiting: WaitingCount | None  # None: Redis is unavailable

    @property
    def requests_per_second(self) -> float:
        return self.requests_per_minute / LIVE_WINDOW


@dataclass(frozen=True, slots=True)
class Share:
    name: str
    requests: int
    tokens: int
    errors: int


def live(tenant: Tenant | None) -> Live:
    return _cached("live", tenant, LIVE_FOR, lambda: _live(tenant))


def chart(tenant: Tenant | None) -> dict[str, list[int]]:
    """Returns points per minute, oldest first; the present minute is left out."""
    return _cached("chart", tenant, CHART_FOR, lambda: _chart(tenant))


def refused(tenant: Tenant | None) -> int:
    """Returns how many requests limits and quotas refused in the last minutes."""
    return _cached("refused", tenant, CHART_FOR, lambda: _refused(tenant))


def platform_health() -> Health:
    """Returns the platform's health; the state of engines is current, not cached."""
    rest = _cached("standing", None, CHART_FOR, health.of_platform)
    rows = _cached("engine_rows", None, CHART_FOR, health.engine_rows)
    busy = _cached("busy_slots", None, LIVE_FOR, health.busy_slots)
    return replace(rest, engines=health.engines(rows, busy))


def tenant_health(tenant: Tenant, permissions: Collection[Permission]) -> Health:
    """Returns the part of the health that these permissions may see."""
    visible = (int(needed in permissions) for needed in health.PERMISSIONS)
    name = "standing{}{}".format(*visible)
    return _cached(name, tenant, CHART_FOR, lambda: health.of_tenant(tenant, permissions))


def by_model(tenant: Tenant | None) -> list[Share]:
    return _cached("models", tenant, CHART_FOR, lambda: _shares(tenant, "model"))


def by_tenant() -> list[Share]:
    return _cached("tenants", None, CHART_FOR, lambda: _shares(None, "tenant__name"))


def _live(tenant: Tenant | None) -> Live:
    minute = _usage(tenant, LIVE_WINDOW).aggregate(
        requests_per_minute=Count("pk"),
        tokens_per_second=Sum("completion_tokens", default=0),
        errors=usage_by_minute.FAILED,
    )
    minute["tokens_per_second"] /= LIVE_WINDOW
    latency = _usage(tenant, LATENCY_WINDOW).aggregate(
        ttft_p50=Percentile("ttft_ms", fraction=0.5), ttft_p95=Percentile("ttft_ms", fraction=0.95)
    )
    completions = tenant.completions.all() if tenant else Completion.objects.all()
    in_progress = completions.filter(state=State.OPEN).count()
    return Live(**minute, **latency, in_progress=in_progress, waiting=waiting(tenant))


def _refused(tenant: Tenant | None) -> int:
    """Sum the refusals per tenant, with which the index begins."""
    since = timezone.now().replace(second=0, microsecond=0)
    since -= (REFUSED_MINUTES - 1) * usage_by_minute.MINUTE
    rows = Refusal.objects.filter(last_at__gte=since).order_by()
    if tenant:
        own: int = rows.filter(tenant=tenant).aggregate(n=Sum("count", default=0))["n"]
        return own
    of_each = rows.filter(tenant=OuterRef("pk")).values("tenant").annotate(n=Sum("count"))
    each = Tenant.objects.order_by().annotate(refused=Subquery(of_each.values("n")))
    total: int = each.aggregate(n=Sum("refused", default=0))["n"]
    return total


def _chart(tenant: Tenant | None) -> dict[str, list[int]]:
    series = list(usage_by_minute.last(CHART_MINUTES, tenant, "model").items())[:-1]
    points = [sum(counts.values(), usage_by_minute.Counts()) for _minute, counts in series]
    return {
        "minutes": [int(minute.timestamp()) for minute, _counts in series],
        "requests": [point.requests for point in points],
        "tokens": [point.tokens_out for point in points],
        "errors": [point.errors for point in points],
    }


def _shares(tenant: Tenant | None, by: str) -> list[Share]:
    sums = usage_by_minute.summed(usage_by_minute.last(CHART_MINUTES, tenant, by).values())
    shares = [Share(name, c.requests, c.tokens, c.errors) for name, c in sums.items()]
    return sorted(shares, key=lambda share: (-share.requests, share.name))[:8]


def _usage(tenant: Tenant | None, seconds: int) -> QuerySet[Usage]:
    usage = tenant.usage.all() if tenant else Usage.objects.all()
    return usage.filter(created_at__gte=timezone.now() - timedelta(seconds=seconds))


def _cached(name: str, tenant: Tenant | None, seconds: int, answer: Callable[[], T]) -> T:
    key = f"figures:{name}:{tenant.pk if tenant else 'all'}"
    return cast("T", caches["process"].get_or_set(key, answer, seconds))
