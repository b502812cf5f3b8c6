"""Pages of a tenant's batches: progress, pausing, resuming, cancelling, and their files."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.keys.keyring import Unreadable
from audit.search import text_search
from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.paging import page
from console.post_only import require_POST
from console.usage.usage_pages import streamed
from inference.batch import actions
from inference.batch.file_store import FileReader, on_record
from inference.models import Batch, File
from tenants.roles import Permission
from tenants.scope import tenant_scope

KINDS = (("output", _("Answers")), ("error", _("Errors")), ("input", _("Requests")))


class DownloadForm(ConsoleForm):
    kind = forms.ChoiceField(label=_("File"))
    reason = forms.CharField(
        label=_("Reason"),
        max_length=text_search.LONGEST_REASON,
        help_text=_("Recorded in the audit trail together with your name."),
    )

    def __init__(self, batch: Batch, data: Any = None) -> None:
        super().__init__(data)
        kinds = self.fields["kind"]
        assert isinstance(kinds, forms.ChoiceField)
        kinds.choices = _kinds(batch)


@permitted(Permission.VIEW_REQUESTS)
def batches(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.batches.select_related("api_key")
    shown = page(rows, "created_at", request.GET.get("cursor", ""))
    context = {"page": shown, "moving": any(not batch.is_over for batch in shown.rows)}
    return render(request, "console/batches/page.html", context)


@permitted(Permission.VIEW_REQUESTS)
def batch(request: TenantRequest, batch: UUID) -> HttpResponse:
    return _page(request, _batch(request, batch))


@require_POST
@permitted(Permission.MANAGE_KEYS)
def pause(request: TenantRequest, batch: UUID) -> HttpResponse:
    return _act(request, batch, actions.pause, _("The batch is paused."))


@require_POST
@permitted(Permission.MANAGE_KEYS)
def resume(request: TenantRequest, batch: UUID) -> HttpResponse:
    return _act(request, batch, actions.resume, _("The batch goes on."))


@require_POST
@permitted(Permission.MANAGE_KEYS)
def cancel(request: TenantRequest, batch: UUID) -> HttpResponse:
    return _act(request, batch, actions.cancel, _("The batch is being cancelled."))


@require_POST
@permitted(Permission.VIEW_PROMPTS)
@recently_proven
def download(request: TenantRequest, batch: UUID) -> HttpResponse:
    row = _batch(request, batch)
    form = DownloadForm(row, request.POST)
    if not form.is_valid():
        return _page(request, row, form)
    kind, reason = form.cleaned_data["kind"], form.cleaned_data["reason"]
    file = get_object_or_404(request.tenant.files.whole(), pk=getattr(row, f"{kind}_file_id"))
    try:
        reader = FileReader(file)
    except Unreadable:
        raise Http404 from None
    on_record(Action.FILE_READ, file, by=request.actor, reason=reason)
    return _attachment(request, reader, f"{row.public_id}_{kind}.jsonl", file.size)


def _attachment(request: TenantRequest, reader: FileReader, name: str, size: int) -> HttpResponse:
    tenant_id, user_id = request.tenant.id, request.user.pk
    body = streamed(reader.pieces(), lambda: tenant_scope(tenant_id, user_id))
    answer = StreamingHttpResponse(body, content_type="application/jsonl")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Content-Length"] = str(size)
    return answer  # type: ignore[return-value]  # a streamed response is one too


def _page(request: TenantRequest, batch: Batch, form: DownloadForm | None = None) -> HttpResponse:
    reads = Permission.VIEW_PROMPTS in request.permissions and _kinds(batch)
    context = {"batch": batch, "form": (form or DownloadForm(batch)) if reads else None}
    return render(request, "console/batches/batch.html", context)


def _kinds(batch: Batch) -> list[tuple[str, Promise]]:
    """Returns the kinds of files that still exist."""
    ids = {kind: getattr(batch, f"{kind}_file_id") for kind, _label in KINDS}
    existing = set(File.objects.whole().filter(pk__in=ids.values()).values_list("pk", flat=True))
    return [(kind, label) for kind, label in KINDS if ids[kind] in existing]


def _batch(request: TenantRequest, pk: UUID) -> Batch:
    return get_object_or_404(request.tenant.batches.select_related("api_key"), pk=pk)


def _act(
    request: TenantRequest, pk: UUID, act: Callable[[Batch, str], bool], text: Promise
) -> HttpResponse:
    batch = _batch(request, pk)
    if act(batch, request.actor):
        messages.success(request, str(text))
    else:
        messages.error(request, _("It is too late for that: the batch has ended."))
    return redirect("console:batch", tenant=request.tenant.name, batch=batch.pk)
