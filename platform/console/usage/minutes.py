"""Usage minute by minute, for the overview: a minute that is over is read once and remembered.

So what a refresh reads is a minute or two of rows, not the half hour that it shows.
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
LATE_S = 10  # rows of a minute may be committed until so long after its end
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
    """The present minute and so many before it, oldest first; in each the counts by a column."""
    present = timezone.now().replace(second=0, microsecond=0)
    wanted = [present - ago * MINUTE for ago in range(number, -1, -1)]
    key = f"minutes:{by}:{tenant.pk if tenant else 'all'}"
    known: Minutes = caches["process"].get(key) or {}
    unknown = [minute for minute in wanted if minute not in known]
    read = _read(_usage(tenant).filter(created_at__gte=unknown[0]), by)
    found = {m: known[m] if m in known else read.get(m, {}) for m in wanted}
    over = timezone.now() - timedelta(seconds=LATE_S) - MINUTE
    settled = {minute: counts for minute, counts in found.items() if minute <= over}
    caches["process"].set(key, settled, 60 * number)
    return found


def summed(minutes: Iterable[dict[str, Counts]]) -> dict[str, Counts]:
    sums: dict[str, Counts] = {}
    for minute in minutes:
        for name, counts in minute.items():
            sums[name] = sums.get(name, Counts()) + counts
    return sums


def _read(usage: QuerySet[Usage], by: str) -> Minutes:
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
    read: Minutes = {}
    for row in rows:
        counts = Counts(row["requests"], row["tokens_in"], row["tokens_out"], row["errors"])
        read.setdefault(row["minute"], {})[row["name"]] = counts
    return read


def _usage(tenant: Tenant | None) -> QuerySet[Usage]:
    return tenant.usage.all() if tenant else Usage.objects.all()
