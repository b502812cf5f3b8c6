"""The auditor's kit: what verifies exports, receipts and certificates without this platform."""

import base64
import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.keys import signing
from audit.models import DeletionRequest
from audit.offline import forebay_verify
from audit.witnesses import excerpt
from console import downloads
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm, MomentField
from console.paging import page
from console.privacy.deletions import certificate_of
from tenants.roles import Permission

VERIFIER = "forebay_verify.py"
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
    since, until = last_month()
    context = {
        "keys": public_keys(),
        "month": since,
        "period": {"since": _typed(since), "until": _typed(until)},
        "witness": excerpt.readable_file() is not None,
        "page": page(certified, "finished_at", request.GET.get("cursor", "")),
        "tenant": request.tenant.name,
    }
    return render(request, "console/audit/kit.html", context)


@permitted(Permission.VIEW_AUDIT)
def audit_kit_file(request: TenantRequest) -> HttpResponse:
    """Return the verifier, the public keys and the guide in one ZIP file."""
    guide = render_to_string("console/audit/kit.txt", {"tenant": request.tenant.name})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(Path(forebay_verify.__file__), VERIFIER)
        for key_id, key in public_keys():
            archive.writestr(f"public-key-{key_id}.txt", f"{key}\n")
        archive.writestr("README.txt", guide)
    return downloads.file(content.getvalue(), "forebay-auditors-kit.zip", "application/zip")


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


def public_keys() -> list[tuple[str, str]]:
    """Returns id and text of each public key, the current one first."""
    return [(name, base64.b64encode(key).decode()) for name, key in signing.trusted().items()]


def last_month() -> tuple[datetime, datetime]:
    """Returns the beginning and the end of the last whole month of UTC."""
    until = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (until - timedelta(days=1)).replace(day=1), until


def _typed(moment: datetime) -> str:
    """Returns a moment as a form sends it, in the reader's time zone."""
    return timezone.localtime(moment).strftime("%Y-%m-%dT%H:%M")
