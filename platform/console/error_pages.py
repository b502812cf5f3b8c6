"""Refusals, as Django shows them, inside the person's scope: these pages have the menu too.

Being refused is an act on record: in the tenant where it happened, else the platform's.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import cast
from uuid import uuid4

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.template import loader
from django.utils.translation import gettext_lazy
from django.views import defaults

from audit.actions import Action
from audit.trail.network import network
from audit.trail.record import act
from console.authorization import ConsoleRequest
from console.client_network import client_ip
from inference.errors import NotFound
from tenants import secret_keys
from tenants.scope import person_scope, system_scope, tenant_scope

STRANGE_HOST = gettext_lazy(
    "This platform does not answer to the host in the address. Whoever runs it can add the host to "
    "FOREBAY_ALLOWED_HOSTS."
)
LONGEST_PATH = 120  # as it is told back


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Of a request that no view has seen. A page that asks for its host would fail again."""
    strange = STRANGE_HOST if isinstance(exception, DisallowedHost) else ""
    page = loader.get_template("400.html").render({"strange_host": strange})
    return HttpResponseBadRequest(page)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _signed_in(request):
        _record(cast("ConsoleRequest", request))
    with _scope(request):
        return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _signed_in(request) and _at_a_strangers(request):
        _record(cast("ConsoleRequest", request))
    if wants_json(request):
        return _in_json(request)
    with _scope(request):
        return defaults.page_not_found(request, exception)


def wants_json(request: HttpRequest) -> bool:
    """A program, at an address of its own making: it has a key, or asks for JSON."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    if scheme.lower() == "bearer" or not {"Api-Key", "X-Api-Key"}.isdisjoint(request.headers):
        return True
    accepted = request.headers.get("Accept", "")
    return "application/json" in accepted and "text/html" not in accepted


def _in_json(request: HttpRequest) -> HttpResponse:
    path = secret_keys.hidden(request.path)[:LONGEST_PATH]
    text = f"there is no {request.method} {path}; the paths of the inference API begin with /v1/"
    known_as = {"x-request-id": str(uuid4())}
    return HttpResponse(NotFound(text).body(), "application/json", 404, headers=known_as)


def _record(request: ConsoleRequest) -> None:
    tenant, member = getattr(request, "tenant", None), getattr(request, "member", None)
    route = request.resolver_match.route if request.resolver_match else ""
    with tenant_scope(tenant.id) if tenant else system_scope():
        act(
            Action.ACCESS_DENIED,
            actor=getattr(request, "actor", request.user.actor),
            tenant_id=tenant.id if tenant else None,
            subject_id=member.subject_id if member else None,
            success=False,
            client_net=network(client_ip(request)),
            detail={"route": route},
        )


def _at_a_strangers(request: HttpRequest) -> bool:
    """They were told that there is no such tenant; that they tried is on record all the same."""
    match = request.resolver_match
    return bool(match and "tenant" in match.kwargs and not hasattr(request, "tenant"))


def _signed_in(request: HttpRequest) -> bool:
    user = getattr(request, "user", None)  # none when a middleware refused before
    return bool(user and user.is_authenticated)


def _scope(request: HttpRequest) -> AbstractContextManager[None]:
    pk = request.user.pk if _signed_in(request) else None
    return nullcontext() if pk is None else person_scope(pk)
