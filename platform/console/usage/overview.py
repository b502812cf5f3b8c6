"""Page of present activity: of one tenant, or of the whole platform for operators."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone

from console.authorization import ConsoleRequest, permitted, signed_in, twin_pages
from console.home import landing
from console.usage import figures, trends
from console.usage.log_links import log_url
from console.usage.usage_filter import WEEK
from inference.engines import answering, engines_of, served, served_to
from inference.engines.health import reachability
from inference.intake.access.allowed import models_of
from inference.models import Completion, State
from tenants.models import Tenant
from tenants.roles import Permission


@signed_in
def platform(request: ConsoleRequest) -> HttpResponse:
    return _overview(request) if request.user.is_operator else redirect(landing(request.user))


def _overview(request: ConsoleRequest) -> HttpResponse:
    tenant = request.tenant
    completions = tenant.completions.all() if tenant else Completion.objects.all()
    context = {
        **_figures(request),
        "empty": not completions.exists(),
        "model": next(iter(models_of(tenant) if tenant else answering()), "MODEL"),
        "public_url": settings.PUBLIC_URL,
        "live_url": _part_url(tenant, "live"),
        "chart_url": _part_url(tenant, "chart"),
        "shares_url": _part_url(tenant, "shares"),
        "log_url": log_url(tenant.name if tenant else None),
        **trends.context(tenant, WEEK),
        **_shares_of(tenant),
    }
    return render(request, "console/overview/page.html", context)


def _live(request: ConsoleRequest) -> HttpResponse:
    return render(request, "console/overview/_live.html", _figures(request))


def _chart(request: ConsoleRequest) -> HttpResponse:
    return JsonResponse(figures.chart(request.tenant))


def _shares(request: ConsoleRequest) -> HttpResponse:
    return render(request, "console/overview/_shares.html", _shares_of(request.tenant))


overview = permitted(Permission.VIEW_USAGE)(_overview)
live, platform_live = twin_pages(Permission.VIEW_USAGE, _live)
chart, platform_chart = twin_pages(Permission.VIEW_USAGE, _chart)
shares, platform_shares = twin_pages(Permission.VIEW_USAGE, _shares)


def _figures(request: ConsoleRequest) -> dict[str, Any]:
    tenant = request.tenant
    health = (
        figures.tenant_health(tenant, request.permissions) if tenant else figures.platform_health()
    )
    return {
        "live": figures.live(tenant),
        "refused": figures.refused(tenant),
        "standing": health,
        "engines_down": _engines_down(tenant),
        "links": _links(tenant),
    }


def _links(tenant: Tenant | None) -> dict[str, str]:
    """Returns where each figure leads to: its rows in the log of requests or of refusals."""
    now, name = timezone.now().replace(second=0, microsecond=0), tenant.name if tenant else None
    minute, five = now - timedelta(minutes=1), now - timedelta(minutes=5)
    refusals = resolve_url("console:refusals", tenant=name) if name else None
    refusals = refusals or resolve_url("console:all_refusals")
    return {
        "requests": log_url(name, since=minute),
        "latest": log_url(name, since=five),
        "open": log_url(name, state=State.OPEN.value),
        "failed": log_url(name, since=minute, state=State.FAILED.value),
        "refused": f"{refusals}?{urlencode({'since': five.isoformat()})}",
    }


def _engines_down(tenant: Tenant | None) -> list[tuple[str, datetime]]:
    """Returns models whose engine does not answer, each with since when.

    A tenant learns of those alone that it may use.
    """
    models = served_to(tenant.pk) if tenant else served()
    since = {model: reachability.down_since(engines_of(model)) for model in models}
    return [(model, at) for model, at in since.items() if at]


def _shares_of(tenant: Tenant | None) -> dict[str, list[tuple[figures.Share, str]]]:
    """Returns shares with the addresses of their rows."""
    since = timezone.now() - timedelta(minutes=figures.CHART_MINUTES)
    name = tenant.name if tenant else None
    by_tenant = [] if tenant else figures.by_tenant()
    return {
        "by_model": [
            (share, log_url(name, since=since, model=share.name))
            for share in figures.by_model(tenant)
        ],
        "by_tenant": [(share, log_url(share.name, since=since)) for share in by_tenant],
    }


def _part_url(tenant: Tenant | None, part: str) -> str:
    if tenant:
        return resolve_url(f"console:{part}", tenant=tenant.name)
    return resolve_url(f"console:platform_{part}")
