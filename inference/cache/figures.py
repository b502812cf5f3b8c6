"""Figures of a tenant's cache, from the usage rows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db.models import Count
from django.utils import timezone

from inference.models import Usage

SPAN = timedelta(hours=24)
HITS = ("l1", "l2", "shared")


@dataclass(slots=True)
class Figures:
    """Requests for one model by the source of their answer."""

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def looked(self) -> int:
        return self.counts.total()

    @property
    def hits(self) -> int:
        return sum(self.counts[level] for level in HITS)

    @property
    def percent(self) -> float:
        return 100 * self.hits / self.looked if self.looked else 0.0


def figures(tenant_id: UUID) -> Mapping[str, Figures]:
    """Returns figures by model of the last SPAN, over requests that used the cache."""
    by_model: dict[str, Figures] = {}
    rows = Usage.objects.filter(tenant_id=tenant_id, created_at__gt=timezone.now() - SPAN)
    rows = rows.exclude(cache="")
    for model, level, count in rows.values_list("model", "cache").annotate(n=Count("pk")):
        by_model.setdefault(model, Figures()).counts[level] += count
    return by_model
