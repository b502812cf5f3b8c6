"""What a tenant's adapter took, by version."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q, Sum
from django.utils import timezone

from inference.models import Adapter, Usage

SPAN = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class VersionUsage:
    """The requests of a version within SPAN. `cost` is in micro-units of the currency."""

    version: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: int


def by_version(adapter: Adapter) -> list[VersionUsage]:
    """Returns the versions that were used within SPAN, by name."""
    rows = Usage.objects.filter(tenant_id=adapter.tenant_id, adapter=adapter.name)
    rows = rows.filter(model=adapter.base, created_at__gt=timezone.now() - SPAN)
    sums = rows.values("adapter_version").annotate(
        requests=Count("pk", filter=Q(repeated=False)),  # whose tokens are billed all the same
        prompt=Sum("prompt_tokens"),
        answers=Sum("completion_tokens"),
        costs=Sum("cost"),
    )
    return [
        VersionUsage(
            row["adapter_version"], row["requests"], row["prompt"], row["answers"], row["costs"]
        )
        for row in sums.order_by("adapter_version")
    ]
