"""What the overview shows: short windows over Usage and Completion, on their indexes.

A scope is one tenant, or None for all of them. Answers are kept for a moment, so that the number
of people watching does not matter to the database.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from django.core.cache import cache
from django.db.models import Aggregate, Count, F, IntegerField, Q, QuerySet, Sum
from django.db.models.functions import TruncMinute
from django.utils import timezone

from console import queue_length
from inference.models import Completion, State, Usage
from tenants.models import Tenant

LIVE_WINDOW, LATENCY_WINDOW, CHART_MINUTES = 60, 300, 30
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
    queued: int | None  # None: Redis does not answer


@dataclass(frozen=True, slots=True)
class Chart:
    """One point per minute, oldest first; the minute that is not over yet is left out."""

    minutes: list[int]
    requests: list[int]
    tokens: list[int]
    errors: list[int]


@dataclass(frozen=True, slots=True)
class Share:
    name: str
    requests: int
    tokens: int
    errors: int


def live(tenant: Tenant | None) -> Live:
    return _kept("live", tenant, LIVE_FOR, lambda: _live(tenant))


def chart(tenant: Tenant | None) -> dict[str, Any]:
    return _kept("chart", tenant, CHART_FOR, lambda: asdict(_chart(tenant)))


def by_model(tenant: Tenant | None) -> list[Share]:
    return _kept("models", tenant, CHART_FOR, lambda: _shares(tenant, F("model")))


def by_tenant() -> list[Share]:
    return _kept("tenants", None, CHART_FOR, lambda: _shares(None, F("tenant__name")))


def _live(tenant: Tenant | None) -> Live:
    minute = _usage(tenant, LIVE_WINDOW).aggregate(
        requests=Count("pk"), tokens=Sum("completion_tokens", default=0), errors=FAILED
    )
    latency = _usage(tenant, LATENCY_WINDOW).aggregate(
        p50=Percentile("ttft_ms", fraction=0.5), p95=Percentile("ttft_ms", fraction=0.95)
    )
    return Live(
        requests_per_minute=minute["requests"],
        tokens_per_second=minute["tokens"] / LIVE_WINDOW,
        errors=minute["errors"],
        ttft_p50=latency["p50"],
        ttft_p95=latency["p95"],
        in_progress=_in_progress(tenant),
        queued=queue_length.total(),
    )


def _chart(tenant: Tenant | None) -> Chart:
    end = timezone.now().replace(second=0, microsecond=0)
    minutes = [end - timedelta(minutes=ago) for ago in range(CHART_MINUTES, 0, -1)]
    rows = (
        _usage_since(tenant, minutes[0])
        .filter(created_at__lt=end)
        .annotate(minute=TruncMinute("created_at"))
        .values("minute")
        .annotate(requests=Count("pk"), tokens=Sum("completion_tokens"), errors=FAILED)
    )
    found = {row["minute"]: row for row in rows}
    none = {"requests": 0, "tokens": 0, "errors": 0}
    points = [found.get(minute, none) for minute in minutes]
    return Chart(
        minutes=[int(minute.timestamp()) for minute in minutes],
        requests=[point["requests"] for point in points],
        tokens=[point["tokens"] for point in points],
        errors=[point["errors"] for point in points],
    )


def _shares(tenant: Tenant | None, name: F) -> list[Share]:
    tokens = Sum(F("prompt_tokens") + F("completion_tokens"))
    rows = (
        _usage(tenant, CHART_MINUTES * 60)
        .values(name=name)
        .annotate(requests=Count("pk"), tokens=tokens, errors=FAILED)
        .order_by("-requests", "name")[:8]
    )
    return [Share(**row) for row in rows]


FAILED = Count("pk", filter=Q(finish_reason="error"))


def _usage(tenant: Tenant | None, seconds: int) -> QuerySet[Usage]:
    return _usage_since(tenant, timezone.now() - timedelta(seconds=seconds))


def _usage_since(tenant: Tenant | None, start: datetime) -> QuerySet[Usage]:
    usage = tenant.usage.all() if tenant else Usage.objects.all()
    return usage.filter(created_at__gte=start)


def _in_progress(tenant: Tenant | None) -> int:
    completions = tenant.completions.all() if tenant else Completion.objects.all()
    return completions.filter(state=State.OPEN).count()


def _kept(what: str, tenant: Tenant | None, seconds: int, answer: Callable[[], T]) -> T:
    key = f"figures:{what}:{tenant.pk if tenant else 'all'}"
    return cast("T", cache.get_or_set(key, answer, seconds))
