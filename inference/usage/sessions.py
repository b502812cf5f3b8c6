"""Usage by session: what agents and other clients took for one conversation or task.

It is read from the rows of requests, as long as retention keeps them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, F, Max, Min, Q, Sum
from django.utils import timezone

from inference.models import Usage
from inference.usage.export import FORMATS, file_of
from tenants.models import Tenant

MOST = 100  # sessions of a list
RANGES = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
SORTS = ("cost", "tokens", "requests", "last_at")
_SUMS: dict[str, Any] = {
    "sum_requests": Count("pk", filter=Q(repeated=False)),  # whose tokens are billed all the same
    "sum_prompt_tokens": Sum("prompt_tokens"),
    "sum_cached_tokens": Sum("cached_tokens"),
    "sum_completion_tokens": Sum("completion_tokens"),
    "sum_tokens": Sum(F("prompt_tokens") + F("completion_tokens")),
    "sum_cost": Sum("cost"),
    "sum_first_at": Min("created_at"),
    "sum_last_at": Max("created_at"),
    "sum_models": ArrayAgg("model", distinct=True),
    "sum_api_keys": ArrayAgg("api_key_id", distinct=True),
    "sum_members": ArrayAgg("member_id", distinct=True),
}


@dataclass(frozen=True, slots=True)
class SessionUsage:
    """One session within a range. `cost` is in micro-units of the currency.

    Its person used the `api_keys`, or was one of the `members` in the chat.
    """

    session: UUID
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    tokens: int
    cost: int
    first_at: datetime
    last_at: datetime
    models: list[str]
    api_keys: list[UUID | None]
    members: list[UUID | None]

    @property
    def own_keys(self) -> list[UUID]:
        return [key for key in self.api_keys if key]

    @property
    def own_members(self) -> list[UUID]:
        return [member for member in self.members if member]

    @property
    def actors(self) -> list[str]:
        """Returns who sent its requests, as in the audit trail."""
        keys = [f"key:{key}" for key in self.own_keys]
        return keys or [f"member:{member}" for member in self.own_members]


def top(
    tenant: Tenant, span: str, sort: str = "cost", session: UUID | None = None
) -> list[SessionUsage]:
    """Returns the first MOST sessions of a range of RANGES, the highest first, or one alone."""
    since = timezone.now() - RANGES[span]
    rows = Usage.objects.filter(tenant=tenant, session__isnull=False, created_at__gt=since)
    if session:
        rows = rows.filter(session=session)
    sums = rows.values("session").annotate(**_SUMS)
    return [_of(row) for row in sums.order_by(f"-sum_{sort}", "session")[:MOST]]


def _of(row: Mapping[str, Any]) -> SessionUsage:
    fields: dict[str, Any] = {name.removeprefix("sum_"): value for name, value in row.items()}
    return SessionUsage(**fields)


def exported(sessions: list[SessionUsage], form: str) -> bytes:
    """Returns the list as a file of one of FORMATS."""
    assert form in FORMATS
    return file_of([_row(each) for each in sessions], form)


def _row(usage: SessionUsage) -> dict[str, Any]:
    return {
        "session": str(usage.session),
        "by": " ".join(usage.actors),
        "models": " ".join(usage.models),
        "requests": usage.requests,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost": usage.cost / 1_000_000,
        "first_at": usage.first_at.isoformat(),
        "last_at": usage.last_at.isoformat(),
    }
