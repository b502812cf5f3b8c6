"""The auditor's kit: what verifies exports, receipts and certificates without this platform."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext_lazy as _

from audit.models import DeletionRequest
from audit.witnesses import excerpt
from console import downloads
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm, MomentField
from console.paging import page
from console.privacy.deletions import certificate_of
from console.trail.kit_files import kit, public_keys
from console.trail.last_month import last_month
from tenants.roles import Permission

LONGEST = timedelta(days=366)


class PeriodForm(ConsoleForm):
    since = MomentField(label=_("From"), required=True)
    until = MomentField(label=_("To"), required=True)

    def clean(self) -> dict[str, Any]:
        fields = self.cleaned_data
        since, until = fields.get("since"), fields.get("until")
        if since and until and not timedelta(0) < until - since <= LONGEST:
            self.add_error("until", _("The end comes after the start, a year later at most."))
        return fields


@permitted(Permission.VIEW_AUDIT)
def audit_kit(request: TenantRequest) -> HttpResponse:
    certified = DeletionRequest.objects.filter(tenant_id=request.tenant.id)
    certified = certified.exclude(certificate=None)
    context = {
        "keys": public_keys(),
        "month": last_month(),
        "witness": excerpt.readable_file() is not None,
        "page": page(certified, "finished_at", request.GET.get("cursor", "")),
        "tenant": request.tenant.name,
    }
    return render(request, "console/audit/kit.html", context)


@permitted(Permission.VIEW_AUDIT)
def audit_kit_file(request: TenantRequest) -> HttpResponse:
    """Return the verifier, the public keys and the guide in one ZIP file."""
    content = kit(request.tenant.name)
    return downloads.file(content, "forebay-auditors-kit.zip", "application/zip")


@permitted(Permission.VIEW_AUDIT)
def audit_kit_witness(request: TenantRequest) -> HttpResponse:
    """Stream what the file witness heard of the tenant's checkpoints in a time."""
    form, path = PeriodForm(request.GET), excerpt.readable_file()
    if path is None or not form.is_valid():
        raise Http404
    numbers = excerpt.checkpoints_of(request.tenant.id, **form.cleaned_data)
    pieces, scope = excerpt.lines_of(path, numbers), downloads.scope_of(request)
    return downloads.stream(pieces, scope, "witness.jsonl", "application/x-ndjson")


@permitted(Permission.VIEW_AUDIT)
def audit_kit_certificate(request: TenantRequest, deletion: UUID) -> HttpResponse:
    rows = DeletionRequest.objects.filter(tenant_id=request.tenant.id)
    return certificate_of(request, get_object_or_404(rows, pk=deletion))
