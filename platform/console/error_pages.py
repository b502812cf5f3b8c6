"""Refusals, as Django shows them, inside the person's scope: these pages have the menu too.

Being refused is an act on record: in the tenant where it happened, else the platform's.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from audit.actions import Action
from audit.record import act
from console.door import ConsoleRequest
from console.session_acts import client_ip
from inference.ledger import network
from tenants.scope import person_scope, system_scope, tenant_scope


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _signed_in(request):
        _record(cast("ConsoleRequest", request))
    with _scope(request):
        return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _signed_in(request) and _at_a_strangers(request):
        _record(cast("ConsoleRequest", request))
    with _scope(request):
        return defaults.page_not_found(request, exception)


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
