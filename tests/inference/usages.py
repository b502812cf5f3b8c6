"""Usage rows as the hot path writes them, and what their sums must be."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

from inference import request_id
from inference.models import Usage, UsageDay, UsageHour
from inference.models.rollup import NOBODY
from tenants.models import Tenant

AT = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
PLAIN: dict[str, Any] = {
    "api_key_id": None,
    "member_id": None,
    "team_id": None,
    "model": "smollm2",
    "adapter": "",
    "prompt_tokens": 12,
    "completion_tokens": 34,
    "cached_tokens": 5,
    "cost": 7,
    "status": 200,
    "finish_reason": "stop",
    "error_code": "",
    "attempts": 1,
    "queue_ms": 3,
    "ttft_ms": 80,
    "duration_ms": 900,
    "created_at": AT,
}
SUMS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost")
Database = psycopg.Connection[Any]


def use(tenant: Tenant, *, through: Database | None = None, **changes: Any) -> UUID:
    """One request and its usage, through Django's connection or the one that is given."""
    row = {"tenant_id": tenant.id, **PLAIN, **changes}
    row.setdefault("completion_id", request_id.new(row["created_at"].timestamp()))
    execute: Callable[..., Any] = through.execute if through else connection.cursor().execute
    execute(
        "insert into inference_completion (id, tenant_id, model, route, stream, state, created_at)"
        " values (%s, %s, %s, '/v1/chat/completions', true, 'done', %s)",
        [row["completion_id"], tenant.id, row["model"], row["created_at"]],
    )
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    execute(f"insert into inference_usage ({names}) values ({places})", list(row.values()))
    return UUID(str(row["completion_id"]))


Key = tuple[datetime, UUID, UUID, UUID, UUID, str, str]


def expected(unit: str) -> dict[Key, Counter[str]]:
    """What the roll-up must hold, from the rows themselves."""
    sums: dict[Key, Counter[str]] = {}
    for row in Usage.objects.all():
        starts = row.created_at.replace(minute=0, second=0, microsecond=0)
        starts = starts.replace(hour=0) if unit == "day" else starts
        ids = [i or NOBODY for i in (row.team_id, row.member_id, row.api_key_id)]
        key = (starts, row.tenant_id, *ids, row.model, row.adapter)
        counted = sums.setdefault(key, Counter())  # type: ignore[arg-type]
        counted["requests"] += 1
        for name in SUMS:
            counted[name] += getattr(row, name)
    return sums


def held(model: type[UsageHour] | type[UsageDay]) -> dict[Key, Counter[str]]:
    return {
        (r.starts, r.tenant_id, r.team_id, r.member_id, r.api_key_id, r.model, r.adapter): Counter(
            {name: getattr(r, name) for name in ("requests", *SUMS)}
        )
        for r in model.objects.all()
    }


def all_in() -> bool:
    return held(UsageHour) == expected("hour") and held(UsageDay) == expected("day")


def used(tenant: Tenant, at: datetime, **changes: Any) -> None:
    """A row that the roll-up takes within the test's own transaction: as if long committed."""
    use(tenant, created_at=at, xid=1, **changes)
