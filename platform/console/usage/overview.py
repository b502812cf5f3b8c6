"""Page of present activity: of one tenant, or of the whole platform for operators."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.cache import never_cache

from console.authorization import (
    ConsoleRequest,
    TenantRequest,
    operators_only,
    permitted,
    signed_in,
)
from console.home import landing
from console.usage import figures
from inference.engines import answering, engines_of, served
from inference.engines.health import reachability
from inference.models import Completion
from tenants.models import Tenant
from tenants.roles import Permission


@permitted(Permission.VIEW_USAGE)
def overview(request: TenantRequest) -> HttpResponse:
    return _overview(request, empty=not request.tenant.completions.exists())


@permitted(Permission.VIEW_USAGE)
def live(request: TenantRequest) -> HttpResponse:
    return _live(request)


@permitted(Permission.VIEW_USAGE)
def chart(request: TenantRequest) -> HttpResponse:
    return JsonResponse(figures.chart(request.tenant))


@permitted(Permission.VIEW_USAGE)
def shares(request: TenantRequest) -> HttpResponse:
    return render(request, "console/overview/_shares.html", _shares(request.tenant))


@signed_in
def platform(request: ConsoleRequest) -> HttpResponse:
    if not request.user.is_operator:
        return redirect(landing(request.user))
    return _overview(request, empty=not Completion.objects.exists())


@operators_only
def platform_live(request: ConsoleRequest) -> HttpResponse:
    return _live(request)


@operators_only
def platform_chart(request: ConsoleRequest) -> HttpResponse:
    return JsonResponse(figures.chart(None))


@operators_only
def platform_shares(request: ConsoleRequest) -> HttpResponse:
    return render(request, "console/overview/_shares.html", _shares(None))


def _overview(request: ConsoleRequest, *, empty: bool) -> HttpResponse:
    tenant = request.tenant
    context = {
        **_figures(request),
        "empty": empty,
        "model": next(iter(answering()), "MODEL"),
        "public_url": settings.PUBLIC_URL,
        "live_url": _part_url(tenant, "live"),
        "chart_url": _part_url(tenant, "chart"),
        "shares_url": _part_url(tenant, "shares"),
        **_shares(tenant),
    }
    return render(request, "console/overview/page.html", context)


@never_cache
def _live(request: ConsoleRequest) -> HttpResponse:
    return render(request, "console/overview/_live.html", _figures(request))


def _figures(request: ConsoleRequest) -> dict[str, Any]:
    tenant = request.tenant
    return {
        "live": figures.live(tenant),
        "refused": figures.refused(tenant),
        "standing": figures.tenant_health(tenant, request.permissions)
        if tenant
        else figures.platform_health(),
        "engines_down": _engines_down(),
    }


def _engines_down() -> list[tuple[str, datetime]]:
    """Returns models whose engine does not answer, each with since when."""
    since = {model: reachability.down_since(engines_of(model)) for model in served()}
    return [(model, at) for model, at in since.items() if at]


def _shares(tenant: Tenant | None) -> dict[str, list[figures.Share]]:
    by_tenant = [] if tenant else figures.by_tenant()
    return {"by_model": figures.by_model(tenant), "by_tenant": by_tenant}


def _part_url(tenant: Tenant | None, part: str) -> str:
    if tenant:
        return resolve_url(f"console:{part}", tenant=tenant.name)
    return resolve_url(f"console:platform_{part}")
