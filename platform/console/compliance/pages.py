"""The compliance pages: blockers first, then every clause with its live evidence. No score."""

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.models import CheckRun
from audit.trail.record import act
from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.compliance import report as reports
from console.compliance import runs
from console.compliance.check import COULD_NOT_RUN, Check, Reach
from console.compliance.checks import CHECKS
from console.compliance.clause import SHORT
from console.compliance.overview import known_regime, overview_of
from console.paging import page
from console.post_only import require_POST
from tenants.models import Tenant
from tenants.roles import Permission


# Pages -------------------------------------------------------------------------------------------
@permitted(Permission.VIEW_COMPLIANCE)
def compliance(request: TenantRequest) -> HttpResponse:
    return _page(request)


@operators_only
def all_compliance(request: ConsoleRequest) -> HttpResponse:
    return _page(request)


@require_POST
@permitted(Permission.VIEW_COMPLIANCE)
def check_run(request: TenantRequest) -> HttpResponse:
    return _run(request)


@require_POST
@operators_only
def all_check_run(request: ConsoleRequest) -> HttpResponse:
    return _run(request)


@require_POST
@permitted(Permission.VIEW_COMPLIANCE)
def report(request: TenantRequest) -> HttpResponse:
    return _report(request)


@require_POST
@operators_only
def all_report(request: ConsoleRequest) -> HttpResponse:
    return _report(request)


@permitted(Permission.VIEW_COMPLIANCE)
def check(request: TenantRequest, check: str) -> HttpResponse:
    return _history(request, check)


@operators_only
def all_check(request: ConsoleRequest, check: str) -> HttpResponse:
    return _history(request, check)


# Shared by both kinds of pages --------------------------------------------------------------------
def _page(request: ConsoleRequest) -> HttpResponse:
    regime = known_regime(request.GET.get("regime", ""))
    overview = overview_of(request.tenant, regime)
    runs = [one.run.at for one in overview.evidence if one.run]
    context = {
        "standing": overview,
        "regime": regime,
        "regimes": list(SHORT.items()),
        "shapes": [("html", _("Report to print (HTML)")), ("json", _("Report (JSON)"))],
        "oldest": min(runs, default=None),
        "newest": max(runs, default=None),
        **_urls(request.tenant),
    }
    return render(request, "console/compliance/page.html", context)


def _run(request: ConsoleRequest) -> HttpResponse:
    if runs.ran_lately(request.tenant):
        messages.info(request, _("The checks ran a moment ago."))
    else:
        if request.tenant:
            transaction.on_commit(runs.ask_for_general)
            runs.run_for_tenant(request.tenant)
        else:
            runs.run_for_platform()
        messages.success(request, _("The checks have run."))
    return redirect(_home(request))


def _report(request: ConsoleRequest) -> HttpResponse:
    regime = known_regime(request.POST.get("regime", ""))
    shape = "html" if request.POST.get("format") == "html" else "json"
    overview = overview_of(request.tenant, regime)
    document = reports.make(overview, request.tenant, regime, by=request.actor)
    detail = {"sha256": reports.sha256_of(document), "regime": regime or "all", "format": shape}
    act(
        Action.COMPLIANCE_REPORT,
        actor=request.actor,
        tenant_id=request.tenant.id if request.tenant else None,
        detail={**detail, "blockers": document["body"]["blockers"]},
    )
    html = shape == "html"
    text = reports.as_html(document, overview) if html else reports.as_json(document)
    kind = "text/html; charset=utf-8" if shape == "html" else "application/json"
    name = (
        f"forebay-compliance-{_owner_name(request.tenant)}-{timezone.now():%Y%m%d-%H%M%S}.{shape}"
    )
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type=kind, headers=headers)


def _history(request: ConsoleRequest, name: str) -> HttpResponse:
    check = CHECKS.get(name)
    if check is None:
        raise Http404
    tenant = request.tenant if check.reach is Reach.EACH else None
    runs = CheckRun.objects.filter(name=name, tenant_id=tenant.id if tenant else None)
    shown = page(runs, "at", request.GET.get("cursor", ""))
    lines = [(run, _problem(check, run)) for run in shown.rows]
    table = next((run.figures.get("table") for run in shown.rows), None) or {}
    context = {
        "check": check,
        "page": shown,
        "lines": lines,
        "table": table.items(),
        "back": _home(request),
    }
    return render(request, "console/compliance/check.html", context)


def _problem(check: Check, run: CheckRun) -> object:
    return "" if run.ok else check.problems.get(run.problem, COULD_NOT_RUN).what


def _home(request: ConsoleRequest) -> str:
    return _urls(request.tenant)["home_url"]


def _urls(tenant: Tenant | None) -> dict[str, str]:
    names = {"home_url": "compliance", "run_url": "check_run", "report_url": "compliance_report"}
    if tenant is None:
        return {url: reverse(f"console:all_{name}") for url, name in names.items()}
    return {url: reverse(f"console:{name}", args=[tenant.name]) for url, name in names.items()}


def _owner_name(tenant: Tenant | None) -> str:
    return tenant.name if tenant else "platform"
