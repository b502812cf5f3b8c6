"""What the caller of a request was refused in the minutes around it.

Limits and quotas leave a row for each caller and minute; what a key may not do (401, 403, 404) is
an event of the trail. A body that was refused as wrong (400) is on no record.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.shortcuts import resolve_url
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from inference.models import Completion
from tenants.models import Refusal

MOST = 20  # rows of a kind
_MINUTE = timedelta(minutes=1)
_LONGEST = timedelta(minutes=10)  # after its receipt: long work would find a whole day's refusals


@dataclass(frozen=True, slots=True)
class Refused:
    """Refusals of one kind in one minute. `limit` is 0 where no limit refused."""

    at: datetime
    reason: str
    count: int
    url: str
    limit: int = 0
    of_bytes: bool = False


def by_limits(row: Completion) -> QuerySet[Refusal]:
    """Returns the caller's refusals by limits and quotas, oldest first."""
    since, until = _span(row)
    rows = row.tenant.refusals.filter(actor=_actor(row), last_at__gte=since, last_at__lt=until)
    return rows.order_by("last_at", "pk")[:MOST]


def denials(row: Completion) -> QuerySet[Event]:
    """Returns the events of what the caller was not permitted to do, oldest first."""
    since, until = _span(row)
    events = Event.objects.of_tenant(row.tenant_id).filter(actor=_actor(row))
    denied = events.filter(action=Action.ACCESS_DENIED, at__gte=since, at__lt=until)
    return denied.order_by("at", "id")[:MOST]


def lines(row: Completion, *, links: bool, trail: bool) -> list[Refused]:
    """Returns both as lines of a page. `links`: to the refusals; `trail`: with denials."""
    of_trail = _denied(row) if trail else iter(())
    return sorted([*_refused(row, links=links), *of_trail], key=lambda line: line.at)


def _refused(row: Completion, *, links: bool) -> Iterator[Refused]:
    for refusal in by_limits(row):
        page = resolve_url("console:refusal", tenant=row.tenant.name, refusal=refusal.pk)
        reason, url = refusal.get_tier_display(), page if links else ""
        at, limit = refusal.last_at, refusal.limit
        yield Refused(at, reason, refusal.count, url, limit, refusal.of_bytes)


def _denied(row: Completion) -> Iterator[Refused]:
    for event in denials(row):
        url = resolve_url("console:audit_event", tenant=row.tenant.name, event=event.pk)
        count = int(event.detail.get("count", 1))
        yield Refused(event.at, f"{event.status} {event.error_code}", count, url)


def _actor(row: Completion) -> str:
    caller = row.api_key or row.member
    return caller.actor if caller else ""


def _span(row: Completion) -> tuple[datetime, datetime]:
    """Returns the minutes of the request, and one before and after them."""
    end = min(row.settled_at or timezone.now(), row.created_at + _LONGEST)
    return _minute(row.created_at) - _MINUTE, _minute(end) + 2 * _MINUTE


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
