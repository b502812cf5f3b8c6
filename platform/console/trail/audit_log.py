"""Pages of the audit trail: every act, its actor, time and address, never the texts of requests."""

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render

from audit.models import Event
from audit.proof.event_proof import SealState, proof_state
from audit.search.events import BadCursor, EventPage, Filters, page
from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.trail.actors import Actors
from console.trail.audit_filter import AuditFilter
from console.trail.audit_words import REQUESTS, word_of
from console.trail.last_month import last_month
from tenants.roles import Permission


@permitted(Permission.VIEW_AUDIT)
def audit_event(request: TenantRequest, event: int) -> HttpResponse:
    row = get_object_or_404(Event.objects.of_tenant(request.tenant.id), pk=event)
    return _event(request, row)


@operators_only
def all_audit_event(request: ConsoleRequest, any_event: int) -> HttpResponse:
    return _event(request, get_object_or_404(Event, pk=any_event))


def _shown(request: ConsoleRequest, form: AuditFilter) -> EventPage:
    """Returns the page of events; an invalid filter matches none."""
    filters = form.filters(request.tenant) if form.is_valid() else Filters(actors=())
    tenant_id = request.tenant.id if request.tenant else None
    try:
        return page(tenant_id, filters, request.GET.get("cursor", ""))
    except BadCursor:
        raise Http404 from None


def _page(request: ConsoleRequest) -> HttpResponse:
    form = AuditFilter(request.GET)
    events = _shown(request, form)
    actors = Actors.of(events.rows, request.tenant)
    lines = [
        (event, *word_of(event), actors.name(event.actor), actors.particulars(event))
        for event in events.rows
    ]
    context = {
        "form": form,
        "page": events,
        "lines": lines,
        "filtered": any(form.cleaned_data.values()) if form.is_valid() else True,
        "month": last_month() if request.tenant else None,
    }
    return render(request, "console/audit/page.html", context)


def _event(request: ConsoleRequest, event: Event) -> HttpResponse:
    actors = Actors.of([event], request.tenant)
    state, (word, shows_failure) = proof_state(event), word_of(event)
    context = {
        "event": event,
        "word": word,
        "shows_failure": shows_failure,
        "who": actors.name(event.actor),
        "particulars": [] if event.action in REQUESTS else actors.particulars(event),
        "proof": state,
        "standing": state.seal_state.name.lower(),
        "sealed": state.seal_state is SealState.SEALED,
    }
    return render(request, "console/audit/event.html", context)


audit, all_audit = permitted(Permission.VIEW_AUDIT)(_page), operators_only(_page)
