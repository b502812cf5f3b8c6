"""Rows of completions, usage and refusals, as the hot path would have left them."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from inference import request_id
from inference.models import Completion, State, Usage
from tenants.models import Refusal, Tenant


def completion(
    tenant: Tenant, *, seconds_ago: float = 5, state: str = State.DONE, **fields: Any
) -> Completion:
    """An open one has no usage yet; every other has exactly one row of it."""
    at = timezone.now() - timedelta(seconds=seconds_ago)
    usage = {name: fields.pop(name) for name in USAGE.keys() | MAY_HAVE if name in fields}
    row = Completion.objects.create(
        id=fields.pop("id", None) or request_id.new(at.timestamp()),
        tenant=tenant,
        model=fields.pop("model", "smollm2"),
        route="/v1/chat/completions",
        state=state,
        created_at=at,
        **fields,
    )
    if state != State.OPEN:
        consumed(row, at, **usage)
    return row


USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 34,
    "ttft_ms": 80,
    "duration_ms": 900,
    "error_code": "",
    "hosted": False,
}
MAY_HAVE = {
    "status",
    "cost",
    "cached_tokens",
    "queue_ms",
    "team_id",
    "session",
    "cache",
    "attempts",
}


def consumed(row: Completion, at: Any, **usage: Any) -> Usage:
    failed = row.state == State.FAILED
    return Usage.objects.create(
        completion=row,
        tenant=row.tenant,
        model=row.model,
        finish_reason="error" if failed else "stop",
        created_at=at,
        **{**USAGE, "status": 502 if failed else 200, **usage},
    )


def refusal(tenant: Tenant, *, seconds_ago: float = 5, **fields: Any) -> Refusal:
    at = timezone.now() - timedelta(seconds=seconds_ago)
    given = {"actor": "key:x", "tier": "rate", "limit": 100, "used": 100, **fields}
    times = {"minute": at.replace(second=0, microsecond=0), "first_at": at, "last_at": at}
    return Refusal.objects.create(
        tenant=tenant, **{**times, "frees_at": at + timedelta(seconds=30), **given}
    )
