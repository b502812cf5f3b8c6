"""Refusals of the management API leave the same traces as those on /v1."""

from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.request import Request

from audit.trail.network import network
from console.api.call_rate import Rate
from console.api.problem import Problem
from console.api.requester import Requester
from console.client_network import client_ip
from inference.intake.context import context_if_any
from tenants.refusals.recorder import Refused

ROUTE = "/api/v1"


def record_unauthenticated(request: HttpRequest) -> None:
    """Count a request without a valid key or session; counts are summed up, so a flood is cheap."""
    code = "invalid_api_key" if "Authorization" in request.headers else "not_authenticated"
    match = request.resolver_match
    who = Refused(
        tenant_id=None,
        actor="unknown",
        route=f"/{match.route}" if match else ROUTE,
        client_net=network(client_ip(request)),
    )
    if context := context_if_any(request):
        context.refusals.denied_from_thread(who, 401, code)


def too_many(request: Request, rate: Rate, who: Requester | None) -> Problem:
    """Returns the 429, with an id by which console and API explain it."""
    seconds = int(rate.wait())
    headers, refusal_id = {"Retry-After": str(seconds)}, _record_refusal(request, rate, who)
    if refusal_id:
        headers["X-Refusal-Id"] = refusal_id
    text = _("Too many calls. Try again in %(seconds)s s.") % {"seconds": seconds}
    return Problem(429, "throttled", text, headers=headers, refusal_id=refusal_id)


def _record_refusal(request: Request, rate: Rate, who: Requester | None) -> str:
    refused = Refused(
        tenant_id=who.key.tenant_id if who and who.key else None,
        actor=who.actor if who else "",
        route=ROUTE,
        client_net=network(client_ip(request._request)),
    )
    context = context_if_any(request._request)
    return context.refusals.note_from_thread(refused, rate.admission) if context else ""
