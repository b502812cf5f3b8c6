"""The request log as a file: CSV or JSON, streamed, a piece for each thousand requests."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from inference.models import Completion, Usage
from inference.usage import request_log
from inference.usage.export import file_of_pieces
from inference.usage.request_log import RequestFilters

_MICRO = 1_000_000
_OF_USAGE = (
    "status",
    "error_code",
    "finish_reason",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
)
_TIMES = ("queue_ms", "ttft_ms", "duration_ms", "attempts", "preemptions")
_CALLER = ("key", "key_id", "member_id", "model", "adapter", "pool", "route", "class", "state")
_COLUMNS = (*_CALLER, *_OF_USAGE, "cost", "currency", "cache", "hosted", *_TIMES)


def exported(
    rows: QuerySet[Completion], filters: RequestFilters, form: str, *, with_tenant: bool
) -> Iterator[bytes]:
    """Yields the file of the matching requests, the newest first."""
    pieces = request_log.each(rows, filters)
    of_tenant = ["tenant"] if with_tenant else []
    columns = ["received_at", "id", *of_tenant, *_COLUMNS]
    return file_of_pieces(([_row(each) for each in piece] for piece in pieces), columns, form)


def _row(completion: Completion) -> dict[str, Any]:
    """Returns the columns. Costs are in units of the currency."""
    usage = usage_of(completion)
    key = completion.api_key
    row = {
        "received_at": completion.created_at.isoformat(),
        "id": str(completion.id),
        "tenant": completion.tenant.name,
        "key": key.name if key else None,
        "key_id": str(key.pk) if key else None,
        "member_id": str(completion.member_id) if completion.member_id else None,
        "model": completion.model,
        "adapter": completion.adapter_version,
        "pool": completion.pool,
        "route": completion.route,
        "class": completion.klass,
        "state": completion.state,
        **{name: getattr(usage, name, None) for name in _OF_USAGE},
        "cost": usage.cost / _MICRO if usage else None,
        "currency": settings.CURRENCY,
        "cache": usage.cache if usage else None,
        "hosted": usage.hosted if usage else None,
    }
    return row | {name: getattr(usage, name, None) for name in _TIMES}


def usage_of(completion: Completion) -> Usage | None:
    """Returns None while the request is open."""
    return getattr(completion, "usage", None)
