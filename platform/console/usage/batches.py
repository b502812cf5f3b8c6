"""Pages of batches: progress, pausing, resuming, cancelling, and their files.

Operators see those of all tenants, with the pools' windows, and no texts.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.keys.keyring import Unreadable
from audit.trail.record import LONGEST_REASON
from console import downloads
from console.account.reauthentication import recently_proven_by_factor
from console.authorization import ConsoleRequest, TenantRequest, View, operators_only, permitted
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.tables import Column, Table
from inference.batch import actions
from inference.batch.file_store import FileReader, on_record
from inference.batch.windows import window_of
from inference.engines import pools
from inference.models import Batch, File
from tenants.roles import Permission

Act = Callable[[Batch, str], bool]  # returns False if the batch has ended
KINDS = (("output", _("Answers")), ("error", _("Errors")), ("input", _("Requests")))


class DownloadForm(ConsoleForm):
    kind = forms.ChoiceField(label=_("File"))
    reason = forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        help_text=_("Recorded in the audit trail together with your name."),
    )

    def __init__(self, batch: Batch, data: Any = None) -> None:
        super().__init__(data)
        kinds = self.fields["kind"]
        assert isinstance(kinds, forms.ChoiceField)
        kinds.choices = _kinds(batch)


class BatchFilter(forms.Form):
    tenant = forms.SlugField(required=False)
    under_way = forms.BooleanField(required=False)

    def of(self, batches: QuerySet[Batch]) -> QuerySet[Batch]:
        if not self.is_valid():
            return batches.none()
        if name := self.cleaned_data["tenant"]:
            batches = batches.filter(tenant__name=name)
        return Batch.objects.under_way() & batches if self.cleaned_data["under_way"] else batches


_CREATED = Column(_("Created"), "created_at", "created_at")
_REQUESTS = Column(_("Requests"), "endpoint", "endpoint")
_PROGRESS = Column(_("Progress"), "completed", "completed")
_UNTIL = Column(_("Until"), "expires_at", "expires_at")
_STATE = Column(_("State"), lambda batch: batch.get_state_display(), "state")
_OF_FILES = {
    "id": Column(_("Id"), "public_id", file_only=True),
    "failed": Column(_("Failed"), "failed", file_only=True),
    "total": Column(_("All"), "total", file_only=True),
    "ended": Column(_("Ended"), "ended_at", file_only=True),
}
BATCHES = Table(
    "batches",
    {
        "created": _CREATED,
        "key": Column(
            _("Key"), lambda batch: batch.api_key and batch.api_key.name, "api_key__name"
        ),
        "requests": _REQUESTS,
        "progress": _PROGRESS,
        "until": _UNTIL,
        "state": _STATE,
        **_OF_FILES,
    },
    order="-created",
)
ALL_BATCHES = Table(
    "all-batches",
    {
        "created": _CREATED,
        "tenant": Column(_("Tenant"), "tenant.name", "tenant__name"),
        "requests": _REQUESTS,
        "state": _STATE,
        "progress": _PROGRESS,
        "until": _UNTIL,
        **_OF_FILES,
    },
    order="-created",
)


@permitted(Permission.VIEW_REQUESTS)
def batches(request: TenantRequest) -> HttpResponse:
    rows = request.tenant.batches.select_related("api_key")
    if file := BATCHES.file(request, rows):
        return file
    shown = BATCHES.shown(request, rows)
    context = {"table": shown, "moving": any(not batch.is_over for batch in shown.rows)}
    return render(request, "console/batches/page.html", context)


@permitted(Permission.VIEW_REQUESTS)
def batch(request: TenantRequest, batch: UUID) -> HttpResponse:
    return _page(request, _batch(request, batch))


@operators_only
def all_batches(request: ConsoleRequest) -> HttpResponse:
    form = BatchFilter(request.GET)
    rows = form.of(Batch.objects.select_related("tenant"))
    if file := ALL_BATCHES.file(request, rows):
        return file
    shown = ALL_BATCHES.shown(request, rows)
    context = {
        "form": form,
        "table": shown,
        "moving": any(not batch.is_over for batch in shown.rows),
        "windows": _windows(),
    }
    return render(request, "console/batches/all.html", context)


def _windows() -> list[dict[str, Any]]:
    """Returns the pools that take batches at certain hours only, with their windows."""
    windows = ((pool, window_of(pool)) for pool in pools().values())
    return [{"pool": pool, "window": window} for pool, window in windows if window]


@require_POST
@permitted(Permission.VIEW_PROMPTS)
@recently_proven_by_factor
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
    name, scope = f"{row.public_id}_{kind}.jsonl", downloads.scope_of(request)
    return downloads.stream(reader.pieces(), scope, name, "application/jsonl", file.size)


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


def _act(request: ConsoleRequest, pk: UUID, act: Act, text: Promise) -> HttpResponse:
    batches = request.tenant.batches.all() if request.tenant else Batch.objects.all()
    batch = get_object_or_404(batches, pk=pk)
    if act(batch, request.actor):
        messages.success(request, str(text))
    else:
        messages.error(request, _("It is too late for that: the batch has ended."))
    if request.tenant:
        return redirect("console:batch", tenant=request.tenant.name, batch=batch.pk)
    return redirect("console:all_batches")


def _act_pages(act: Act, text: Promise) -> tuple[View, View]:
    """Return the pages of an act on a batch of one's tenant, and of any tenant for operators."""

    @require_POST
    @permitted(Permission.MANAGE_KEYS)
    def of_tenant(request: TenantRequest, batch: UUID) -> HttpResponse:
        return _act(request, batch, act, text)

    @require_POST
    @operators_only
    def of_any(request: ConsoleRequest, any_batch: UUID) -> HttpResponse:
        return _act(request, any_batch, act, text)

    return of_tenant, of_any


pause, all_batch_pause = _act_pages(actions.pause, _("The batch is paused."))
resume, all_batch_resume = _act_pages(actions.resume, _("The batch goes on."))
cancel, all_batch_cancel = _act_pages(actions.cancel, _("The batch is being cancelled."))
