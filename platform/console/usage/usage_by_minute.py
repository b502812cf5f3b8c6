"""Usage per minute for the overview: a past minute is read once and remembered.

A refresh reads a minute or two of rows, not the half hour that it shows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.cache import caches
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncMinute
from django.utils import timezone

from inference.models import Usage
from tenants.models import Tenant

FAILED = Count("pk", filter=Q(finish_reason="error"))
LATE_S = 10  # rows of a minute may be committed up to this long after its end
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Counts:
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    errors: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.requests + other.requests,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.errors + other.errors,
        )

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


Minutes = dict[datetime, dict[str, Counts]]


def last(number: int, tenant: Tenant | None, by: str) -> Minutes:
    """Returns counts by a column for the present minute and `number` before it, oldest first."""
    present = timezone.now().replace(second=0, microsecond=0)
    moments = [present - ago * MINUTE for ago in range(number, -1, -1)]
    key = f"minutes:{by}:{tenant.pk if tenant else 'all'}"
    remembered: Minutes = caches["process"].get(key) or {}
    unread = [minute for minute in moments if minute not in remembered]
    usage = tenant.usage.all() if tenant else Usage.objects.all()
    fresh = _counts_by_minute(usage.filter(created_at__gte=unread[0]), by)
    minutes = {m: remembered[m] if m in remembered else fresh.get(m, {}) for m in moments}
    settled_until = timezone.now() - timedelta(seconds=LATE_S) - MINUTE
    settled = {minute: counts for minute, counts in minutes.items() if minute <= settled_until}
    caches["process"].set(key, settled, 60 * number)
    return minutes


def summed(minutes: Iterable[dict[str, Counts]]) -> dict[str, Counts]:
    sums: dict[str, Counts] = {}
    for minute in minutes:
        for name, counts in minute.items():
            sums[name] = sums.get(name, Counts()) + counts
    return sums


def _counts_by_minute(usage: QuerySet[Usage], by: str) -> Minutes:
    rows = (
        usage.annotate(minute=TruncMinute("created_at"), name=F(by))
        .values("minute", "name")
        .annotate(
            requests=Count("pk"),
            tokens_in=Sum("prompt_tokens"),
            tokens_out=Sum("completion_tokens"),
            errors=FAILED,
        )
    )
    minutes: Minutes = {}
    for row in rows:
        counts = Counts(row["requests"], row["tokens_in"], row["tokens_out"], row["errors"])
        minutes.setdefault(row["minute"], {})[row["name"]] = counts
    return minutes
