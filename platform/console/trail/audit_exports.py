"""Pages of exports of the audit trail: made by a job, downloaded after a proof of identity."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.checks.verified_export import witness_lines
from audit.exports import export_file, trail_export
from audit.keys.keyring import Unreadable
from audit.models import Export
from console import downloads
from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.post_only import require_POST
from console.trail.actors import Actors
from console.trail.audit_filter import AuditFilter
from console.trail.kit_files import kit_with
from tenants.roles import Permission

FORMS = (
    (trail_export.JSONL, gettext_lazy("JSONL with proofs: verifies offline")),
    (trail_export.CSV, gettext_lazy("CSV: for spreadsheets, proves nothing")),
)


class ExportForm(AuditFilter):
    form = forms.ChoiceField(label=gettext_lazy("Form"), choices=FORMS, initial=trail_export.JSONL)
    verify = forms.BooleanField(
        label=gettext_lazy("Verify it here when it is ready"), required=False
    )
    field_order = ("form", "verify")


@permitted(Permission.EXPORT_AUDIT)
@recently_proven
def audit_exports(request: TenantRequest) -> HttpResponse:
    form = ExportForm(request.POST or None, initial=_initial_filter(request))
    if request.method == "POST" and form.is_valid():
        try:
            filters, kind = form.filters(request.tenant), form.cleaned_data["form"]
            verify = form.cleaned_data["verify"]
            trail_export.ask(request.tenant.id, filters, kind, by=request.actor, verify=verify)
        except ValidationError as problem:
            form.refuse(problem)
        else:
            text = _("The export is being created. It appears here when it is ready.")
            messages.success(request, text)
            return redirect("console:audit_exports", tenant=request.tenant.name)
    exports = list(_exports(request).order_by("-created_at")[:50])
    actors = Actors.among([export.actor for export in exports], request.tenant)
    context = {
        "form": form,
        "lines": [
            (export, actors.name(export.actor), export_file.expired(export)) for export in exports
        ],
        "hidden": ("form", "up_to", "percent", "verify", "verified"),  # shown beside the filter
        "making": any(export.state == export_file.MAKING for export in exports),
    }
    return render(request, "console/audit/exports.html", context)


@require_POST
@permitted(Permission.EXPORT_AUDIT)
@recently_proven
def audit_export_file(request: TenantRequest, audit_export: UUID) -> Any:
    export = get_object_or_404(_exports(request), pk=audit_export)
    try:
        pieces = trail_export.download(export, by=request.actor)
    except (FileNotFoundError, Unreadable):
        raise Http404 from None
    scope, name = downloads.scope_of(request), trail_export.file_name(export, request.tenant.name)
    if "kit" in request.POST:
        zipped = kit_with(request.tenant.name, pieces, witness_lines(export))
        return downloads.stream(zipped, scope, f"{name}.zip", "application/zip")
    kind = trail_export.FORMS[export.asked["form"]]
    return downloads.stream(pieces, scope, name, kind, export.bytes)


@require_POST
@permitted(Permission.EXPORT_AUDIT)
def audit_export_drop(request: TenantRequest, audit_export: UUID) -> HttpResponse:
    trail_export.drop(get_object_or_404(_exports(request), pk=audit_export), by=request.actor)
    messages.success(request, _("The export has been deleted."))
    return redirect("console:audit_exports", tenant=request.tenant.name)


def _exports(request: TenantRequest) -> QuerySet[Export]:
    return Export.objects.filter(tenant_id=request.tenant.id, kind=trail_export.KIND)


def _initial_filter(request: TenantRequest) -> dict[str, Any]:
    """Returns the filter of the page from which the person came."""
    initial = {name: request.GET[name] for name in AuditFilter.base_fields if name in request.GET}
    return {**initial, "form": trail_export.JSONL}
