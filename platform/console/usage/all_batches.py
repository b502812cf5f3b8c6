"""Page of the batches of all tenants, for operators: progress and windows, without texts."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.authorization import ConsoleRequest, operators_only
from console.paging import page
from console.post_only import require_POST
from inference.batch import actions
from inference.batch.windows import window_of
from inference.engines import pools
from inference.models import Batch

TOO_LATE = _("It is too late for that: the batch has ended.")


class BatchFilter(forms.Form):
    tenant = forms.SlugField(required=False)
    under_way = forms.BooleanField(required=False)

    def of(self, batches: QuerySet[Batch]) -> QuerySet[Batch]:
        if not self.is_valid():
            return batches.none()
        if name := self.cleaned_data["tenant"]:
            batches = batches.filter(tenant__name=name)
        return Batch.objects.under_way() & batches if self.cleaned_data["under_way"] else batches


@operators_only
def all_batches(request: ConsoleRequest) -> HttpResponse:
    form = BatchFilter(request.GET)
    rows = form.of(Batch.objects.select_related("tenant"))
    shown = page(rows, "created_at", request.GET.get("cursor", ""))
    context = {
        "form": form,
        "page": shown,
        "moving": any(not batch.is_over for batch in shown.rows),
        "windows": _windows(),
    }
    return render(request, "console/batches/all.html", context)


def _windows() -> list[dict[str, Any]]:
    """Returns the pools that take batches at certain hours only, with their windows."""
    windows = ((pool, window_of(pool)) for pool in pools().values())
    return [{"pool": pool, "window": window} for pool, window in windows if window]


@require_POST
@operators_only
def all_batch_pause(request: ConsoleRequest, any_batch: UUID) -> HttpResponse:
    return _act(request, any_batch, actions.pause, _("The batch is paused."))


@require_POST
@operators_only
def all_batch_resume(request: ConsoleRequest, any_batch: UUID) -> HttpResponse:
    return _act(request, any_batch, actions.resume, _("The batch goes on."))


@require_POST
@operators_only
def all_batch_cancel(request: ConsoleRequest, any_batch: UUID) -> HttpResponse:
    return _act(request, any_batch, actions.cancel, _("The batch is being cancelled."))


def _act(
    request: ConsoleRequest, pk: UUID, act: Callable[[Batch, str], bool], text: Promise
) -> HttpResponse:
    batch = get_object_or_404(Batch, pk=pk)
    if act(batch, request.actor):
        messages.success(request, str(text))
    else:
        messages.error(request, str(TOO_LATE))
    return redirect("console:all_batches")
