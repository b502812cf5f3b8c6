"""The page of one request: its course, figures and events, and its caller's refusals around it.

Its texts are on a page of their own (console/trail/audit_texts.py), which wants a reason.
"""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from audit.models import Event
from console.authorization import TenantRequest, permitted
from console.request_log import refused_around
from console.request_log.export import usage_of
from console.request_log.log import ROWS, own_rows
from console.request_log.timeline import Timeline
from console.request_log.words import CACHE, front_end
from console.trail.actors import Actors
from console.trail.audit_words import WORDS
from inference.models import Completion, Usage
from inference.usage.report import Dimension, Name, names
from tenants.roles import Permission

MOST_EVENTS = 50


@permitted(Permission.VIEW_REQUESTS)
def request_page(request: TenantRequest, completion: UUID) -> HttpResponse:
    return _page(request, request.tenant.completions.all(), completion)


@permitted(Permission.CHAT)
def own_request(request: TenantRequest, completion: UUID) -> HttpResponse:
    return _page(request, own_rows(request), completion)


def _page(request: TenantRequest, rows: QuerySet[Completion], pk: UUID) -> HttpResponse:
    row = get_object_or_404(rows.select_related(*ROWS), pk=pk)
    usage, events = usage_of(row), _events(row)
    may_see_trail = Permission.VIEW_AUDIT in request.permissions
    context: dict[str, Any] = {
        "completion": row,
        "usage": usage,
        "timeline": Timeline.of(row, usage),
        "front_end": front_end(row.route),
        "engine": _engine(events),
        "team": _team(request, usage),
        "cache": CACHE.get(usage.cache) if usage else None,
        "events": _lines(request, events) if may_see_trail else [],
        "may_see_trail": may_see_trail,
        "refused": refused_around.lines(
            row, links=Permission.VIEW_LIMITS in request.permissions, trail=may_see_trail
        ),
    }
    return render(request, "console/requests/request.html", context)


def _events(row: Completion) -> list[Event]:
    events = Event.objects.of_tenant(row.tenant_id).filter(request_id=row.pk)
    return list(events.order_by("at", "id")[:MOST_EVENTS])


def _engine(events: list[Event]) -> str:
    """Returns what served it, as its record has it: the engine, else the pool and its host."""
    named = [str(event.detail.get("engine") or event.upstream) for event in events]
    return next((name for name in reversed(named) if name), "")


def _team(request: TenantRequest, usage: Usage | None) -> Name | None:
    team = usage.team_id if usage else None
    return names(Dimension.TEAM, [team], request.tenant)[team] if team else None


def _lines(request: TenantRequest, events: list[Event]) -> list[tuple[Event, Any, str]]:
    actors = Actors.of(events, request.tenant)
    return [(event, WORDS[event.action], actors.name(event.actor)) for event in events]
