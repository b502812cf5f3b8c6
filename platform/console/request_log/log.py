"""The request log: each request and its outcome, never its text; as a page and as a file.

Members whose role has no log see their own requests.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.authorization import ConsoleRequest, TenantRequest, permitted, twin_pages
from console.request_log.export import exported, usage_of
from console.request_log.filters import RequestFilterForm
from console.usage.log_links import log_url
from inference.engines import served, served_to
from inference.models import Completion, State, Usage
from inference.usage import request_log
from inference.usage.export import FORMATS
from inference.usage.report import Name
from inference.usage.request_log import BadCursor, RequestPage
from tenants.refusals.recorder import uuid_of
from tenants.roles import Permission

ROWS = ("tenant", "api_key", "member__user", "usage")


@dataclass(frozen=True, slots=True)
class Line:
    completion: Completion
    usage: Usage | None
    url: str


@dataclass(frozen=True, slots=True)
class Preset:
    label: Promise
    url: str


def _page(request: ConsoleRequest) -> HttpResponse:
    refusal = uuid_of(request.GET.get("id", "").strip()) if request.tenant else None
    if request.tenant and refusal and request.tenant.refusals.filter(pk=refusal).exists():
        return redirect("console:refusal", tenant=request.tenant.name, refusal=refusal)
    form = RequestFilterForm(request.GET, request.tenant)
    context = {"presets": _presets(request), "forms": FORMATS}
    return _shown(request, form, _rows_of(request), context)


@permitted(Permission.CHAT)
def own_requests(request: TenantRequest) -> HttpResponse:
    form = RequestFilterForm(request.GET, request.tenant, own=True)
    return _shown(request, form, own_rows(request), {"is_own": True})


def _rows_of(request: ConsoleRequest) -> QuerySet[Completion]:
    return request.tenant.completions.all() if request.tenant else Completion.objects.all()


def own_rows(request: TenantRequest) -> QuerySet[Completion]:
    """Returns the requests that the person sent in the chat and the playground."""
    if request.member is None:
        return request.tenant.completions.none()
    return request.tenant.completions.filter(member=request.member)


def _shown(
    request: ConsoleRequest,
    form: RequestFilterForm,
    rows: QuerySet[Completion],
    more: dict[str, Any],
) -> HttpResponse:
    page = _matching_page(request, form, rows) if form.is_valid() else RequestPage([])
    context = {
        "form": form,
        "models": served_to(request.tenant.pk) if request.tenant else list(served()),
        "lines": [_line(request, row) for row in page.rows],
        "page": page,
        "filtered": not form.is_valid() or any(form.cleaned_data.values()),
        "hidden": _hidden(request, form) if form.is_valid() else [],
        **more,
    }
    return render(request, "console/requests/log.html", context)


def _hidden(request: ConsoleRequest, form: RequestFilterForm) -> list[tuple[str, Name, str]]:
    """Returns label and value of each filter without a field, and the query without it."""
    rows = []
    for name, label, value in form.hidden:
        query = request.GET.copy()
        query.pop("cursor", None)
        query.pop(name)
        rows.append((label, value, query.urlencode()))
    return rows


def _matching_page(
    request: ConsoleRequest, form: RequestFilterForm, rows: QuerySet[Completion]
) -> RequestPage:
    with_names = rows.select_related(*ROWS)
    try:
        return request_log.page(with_names, form.filters, request.GET.get("cursor", ""))
    except BadCursor:
        raise Http404 from None


def _line(request: ConsoleRequest, row: Completion) -> Line:
    own = Permission.VIEW_REQUESTS not in request.permissions and request.tenant is not None
    name = "console:own_request" if own else "console:request"
    return Line(row, usage_of(row), resolve_url(name, tenant=row.tenant.name, completion=row.pk))


def _presets(request: ConsoleRequest) -> list[Preset]:
    """Returns links to the usual questions, with the other filters gone."""
    now = timezone.localtime().replace(second=0, microsecond=0)
    today = now.replace(hour=0, minute=0)
    yesterday = today - timedelta(days=1)
    link = partial(log_url, request.tenant.name if request.tenant else None)
    failed = State.FAILED.value
    return [
        Preset(_("Last hour"), link(since=now - timedelta(hours=1))),
        Preset(_("Today"), link(since=today)),
        Preset(_("Yesterday"), link(since=yesterday, until=today)),
        Preset(_("Failed today"), link(state=failed, since=today)),
        Preset(_("Failed yesterday"), link(state=failed, since=yesterday, until=today)),
    ]


def _file(request: ConsoleRequest) -> HttpResponseBase:
    """Record the export and return it. Its bytes are read later, each piece in its own scope."""
    form, kind = RequestFilterForm(request.GET, request.tenant), request.GET.get("format", "csv")
    if kind not in FORMATS or not form.is_valid():
        raise Http404
    tenant = request.tenant
    name = file_name(tenant.name if tenant else "all-tenants", kind)
    tenant_id = tenant.id if tenant else None
    act(Action.USAGE_EXPORT, actor=request.actor, tenant_id=tenant_id, detail={"file": name})
    rows = _rows_of(request).select_related(*ROWS)
    pieces = exported(rows, form.filters, kind, with_tenant=tenant is None)
    return downloads.stream(pieces, downloads.scope_of(request), name, FORMATS[kind])


def file_name(owner: str, form: str) -> str:
    return f"requests-{owner}-{timezone.localtime():%Y-%m-%d}.{form}"


requests, all_requests = twin_pages(Permission.VIEW_REQUESTS, _page)
export, all_export = twin_pages(Permission.VIEW_REQUESTS, _file)
