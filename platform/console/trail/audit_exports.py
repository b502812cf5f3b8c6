"""Files of the audit trail: asked for, made by a job, downloaded by whoever has just proved it."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.exports import trail_export
from audit.keys.keyring import Unreadable
from audit.models import Export
from console.account.reauthentication import recently_proven
from console.acts_only import require_POST
from console.authorization import TenantRequest, permitted
from console.trail.actors import Actors
from console.trail.audit_filter import AuditFilter
from console.usage.usage_pages import streamed
from tenants.roles import Permission
from tenants.scope import tenant_scope

FORMS = (
    (trail_export.JSONL, gettext_lazy("JSONL with proofs: verifies offline")),
    (trail_export.CSV, gettext_lazy("CSV: for spreadsheets, proves nothing")),
)


class ExportForm(AuditFilter):
    form = forms.ChoiceField(label=gettext_lazy("Form"), choices=FORMS, initial=trail_export.JSONL)
    field_order = ("form",)


@permitted(Permission.EXPORT_AUDIT)
@recently_proven
def audit_exports(request: TenantRequest) -> HttpResponse:
    form = ExportForm(request.POST or None, initial=_from(request))
    if request.method == "POST" and form.is_valid():
        try:
            asked = form.filters(request.tenant)
            trail_export.ask(request.tenant.id, asked, form.cleaned_data["form"], by=request.actor)
        except ValidationError as problem:
            form.refuse(problem)
        else:
            messages.success(
                request, _("The export is being created. It appears here when it is ready.")
            )
            return redirect("console:audit_exports", tenant=request.tenant.name)
    found = list(_exports(request).order_by("-created_at")[:50])
    actors = Actors.among([one.actor for one in found], request.tenant)
    context = {
        "form": form,
        "lines": [(one, actors.name(one.actor), trail_export.expired(one)) for one in found],
        "making": any(one.state == trail_export.MAKING for one in found),
    }
    return render(request, "console/audit/exports.html", context)


@require_POST
@permitted(Permission.EXPORT_AUDIT)
@recently_proven
def audit_export_file(request: TenantRequest, audit_export: UUID) -> HttpResponse:
    found = _found(request, audit_export)
    try:
        pieces = trail_export.download(found, by=request.actor)
    except (FileNotFoundError, Unreadable):
        raise Http404 from None
    tenant_id, user_id = request.tenant.id, request.user.pk
    body = streamed(pieces, lambda: tenant_scope(tenant_id, user_id))
    answer = StreamingHttpResponse(body, content_type=trail_export.FORMS[found.asked["form"]])
    name = trail_export.file_name(found, request.tenant.name)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Content-Length"] = str(found.bytes)
    return _file(answer)


@require_POST
@permitted(Permission.EXPORT_AUDIT)
def audit_export_drop(request: TenantRequest, audit_export: UUID) -> HttpResponse:
    trail_export.drop(_found(request, audit_export), by=request.actor)
    messages.success(request, _("The export has been deleted."))
    return redirect("console:audit_exports", tenant=request.tenant.name)


def _exports(request: TenantRequest) -> Any:
    return Export.objects.filter(tenant_id=request.tenant.id, kind=trail_export.KIND)


def _found(request: TenantRequest, export: UUID) -> Export:
    found: Export = get_object_or_404(_exports(request), pk=export)
    return found


def _from(request: TenantRequest) -> dict[str, Any]:
    """What was being looked at when somebody came here."""
    initial = {name: request.GET[name] for name in AuditFilter.base_fields if name in request.GET}
    return {**initial, "form": trail_export.JSONL}


def _file(answer: HttpResponseBase) -> HttpResponse:
    return answer  # type: ignore[return-value]  # a streamed one is a response all the same
