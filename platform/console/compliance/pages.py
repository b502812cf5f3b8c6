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
from console import downloads
from console.authorization import ConsoleRequest, operators_only, permitted
from console.compliance import report as reports
from console.compliance import runs, signed_report
from console.compliance.check import COULD_NOT_RUN, Check, Reach
from console.compliance.checks import CHECKS
from console.compliance.clause import SHORT
from console.compliance.drills import evidence
from console.compliance.overview import known_regime, overview_of
from console.paging import page
from console.post_only import require_POST
from tenants.models import Tenant
from tenants.roles import Permission


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
    return redirect(_urls(request.tenant)["home_url"])


def _report(request: ConsoleRequest) -> HttpResponse:
    regime = known_regime(request.POST.get("regime", ""))
    shape = "html" if request.POST.get("format") == "html" else "json"
    overview, tenant = overview_of(request.tenant, regime), request.tenant
    document = reports.make(overview, tenant, regime, by=request.actor)
    detail = {
        "sha256": signed_report.sha256_of(document),
        "regime": regime or "all",
        "format": shape,
    }
    act(
        Action.COMPLIANCE_REPORT,
        actor=request.actor,
        tenant_id=tenant.id if tenant else None,
        detail={**detail, "blockers": document["body"]["blockers"]},
    )
    owner = tenant.name if tenant else "platform"
    name = f"forebay-compliance-{owner}-{timezone.now():%Y%m%d-%H%M%S}.{shape}"
    if shape == "html":
        return downloads.file(reports.as_html(document, overview), name, "text/html; charset=utf-8")
    return downloads.file(signed_report.as_json(document), name, "application/json")


def _history(request: ConsoleRequest, check: str) -> HttpResponse:
    known = CHECKS.get(check)
    if known is None:
        raise Http404
    tenant = request.tenant if known.reach is Reach.EACH else None
    runs = CheckRun.objects.filter(name=check, tenant_id=tenant.id if tenant else None)
    shown = page(runs, "at", request.GET.get("cursor", ""))
    table = shown.rows[0].figures.get("table", {}) if shown.rows else {}
    context = {
        "check": known,
        "page": shown,
        "lines": [(run, _problem(known, run)) for run in shown.rows],
        "table": table.items(),
        "back": _urls(request.tenant)["home_url"],
        "reports": _reports(known, request.tenant),
    }
    return render(request, "console/compliance/check.html", context)


def _reports(check: Check, tenant: Tenant | None) -> list[tuple[str, object]]:
    """Returns addresses and names of the files that a check has looked at, for operators."""
    if check.name != "drills" or tenant or evidence.newest() is None:
        return []
    url = reverse("console:all_drills")
    names = {"html": _("Report to print (HTML)"), "pdf": _("Report (PDF)")}
    names["json"] = _("Report (JSON)")
    return [(f"{url}?form={form}", name) for form, name in names.items()]


def _problem(check: Check, run: CheckRun) -> object:
    return "" if run.ok else check.problems.get(run.problem, COULD_NOT_RUN).what


def _urls(tenant: Tenant | None) -> dict[str, str]:
    names = {"home_url": "compliance", "run_url": "check_run", "report_url": "compliance_report"}
    if tenant is None:
        return {url: reverse(f"console:all_{name}") for url, name in names.items()}
    return {url: reverse(f"console:{name}", args=[tenant.name]) for url, name in names.items()}


# Each page in a tenant, and the same over the whole platform.
_in_tenant = permitted(Permission.VIEW_COMPLIANCE)
compliance, all_compliance = _in_tenant(_page), operators_only(_page)
check, all_check = _in_tenant(_history), operators_only(_history)
check_run, all_check_run = require_POST(_in_tenant(_run)), require_POST(operators_only(_run))
report, all_report = require_POST(_in_tenant(_report)), require_POST(operators_only(_report))
