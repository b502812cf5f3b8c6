"""Django's error pages, rendered inside the person's scope: these pages have the menu too.

A refusal is an act on record, in the tenant where it happened, else the platform's.
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
from audit.trail.record import act
from audit.trail.truncated_address import network
from console.authorization import ConsoleRequest
from console.client_network import client_ip
from inference.errors import NotFound
from tenants import secret_keys
from tenants.scope import person_scope, system_scope, tenant_scope

STRANGE_HOST = gettext_lazy(
    "This platform does not answer to the host in the address. Whoever runs it can add the host to "
    "FOREBAY_ALLOWED_HOSTS."
)
LONGEST_PATH = 120  # of the path in the answer


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that no view has seen. A page that uses its host would fail again."""
    strange = STRANGE_HOST if isinstance(exception, DisallowedHost) else ""
    page = loader.get_template("400.html").render({"strange_host": strange})
    return HttpResponseBadRequest(page)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _signed_in(request):
        _record(cast("ConsoleRequest", request))
    with _scope(request):
        return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _signed_in(request) and _is_strangers_tenant(request):
        _record(cast("ConsoleRequest", request))
    if wants_json(request):
        return _json_not_found(request)
    with _scope(request):
        return defaults.page_not_found(request, exception)


def wants_json(request: HttpRequest) -> bool:
    """Returns whether a program sent the request: with a key, or asking for JSON."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    if scheme.lower() == "bearer" or not {"Api-Key", "X-Api-Key"}.isdisjoint(request.headers):
        return True
    accepted = request.headers.get("Accept", "")
    return "application/json" in accepted and "text/html" not in accepted


def _json_not_found(request: HttpRequest) -> HttpResponse:
    path = secret_keys.hidden(request.path)[:LONGEST_PATH]
    text = f"there is no {request.method} {path}; the paths of the inference API begin with /v1/"
    headers = {"x-request-id": str(uuid4())}
    return HttpResponse(NotFound(text).body(), "application/json", 404, headers=headers)


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


def _is_strangers_tenant(request: HttpRequest) -> bool:
    """Returns whether a person tried a tenant that does not exist for them, which is recorded."""
    match = request.resolver_match
    return bool(match and "tenant" in match.kwargs and not hasattr(request, "tenant"))


def _signed_in(request: HttpRequest) -> bool:
    user = getattr(request, "user", None)  # None if a middleware has refused the request before
    return bool(user and user.is_authenticated)


def _scope(request: HttpRequest) -> AbstractContextManager[None]:
    pk = request.user.pk if _signed_in(request) else None
    return nullcontext() if pk is None else person_scope(pk)
