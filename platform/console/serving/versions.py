"""Pages of new versions of an engine, for operators: begin, watch, cancel and roll back."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.post_only import require_POST
from console.serving.reported_acts import act_and_report, try_save
from console.serving.version_form import NewVersionForm
from inference.models import Engine, Replacement
from inference.models.replacement import OPEN
from inference.registry.versions import proposed


@operators_only
@recently_proven
def new_version(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    row: Engine = get_object_or_404(Engine.objects.select_related("pool__model"), pk=engine)
    form = NewVersionForm(request.POST if request.method == "POST" else None)
    replacements: list[Replacement] = []
    if form.is_bound and form.is_valid():
        try_save(form, lambda: replacements.append(_begin(engine, form, request)))
    if replacements and not form.errors:
        return redirect("console:replacement", replacement=replacements[0].pk)
    context = {"engine": row, "form": form, "versions": Replacement.objects.of(row)[:10]}
    return render(request, "console/serving/new_version.html", context)


@operators_only
def replacement(request: ConsoleRequest, replacement: UUID) -> HttpResponse:
    return render(request, "console/serving/replacement.html", _context(replacement))


@operators_only
def replacement_live(request: ConsoleRequest, replacement: UUID) -> HttpResponse:
    return render(request, "console/serving/_replacement.html", _context(replacement))


@require_POST
@operators_only
def cancellation(request: ConsoleRequest, replacement: UUID) -> HttpResponse:
    row = _replacement_row(replacement)
    text = _("The new version is cancelled. The old one serves on.")
    act_and_report(request, lambda: row.cancel(by=request.actor), text)
    return redirect("console:replacement", replacement=replacement)


@require_POST
@operators_only
def rollback(request: ConsoleRequest, replacement: UUID) -> HttpResponse:
    row = _replacement_row(replacement)
    text = _("The old engine serves again. The new one finishes what it has.")
    act_and_report(request, lambda: row.roll_back(by=request.actor), text)
    return redirect("console:replacement", replacement=replacement)


def _begin(engine: UUID, form: NewVersionForm, request: ConsoleRequest) -> Replacement:
    rows = Engine.objects.select_related("pool__model")
    row = get_object_or_404(rows.select_for_update(of=("self",), no_key=True), pk=engine)
    name, fields = proposed(row, form.settings)
    return Replacement.begin(row, name, fields, by=request.actor, **form.switch_options)


def _context(replacement: UUID) -> dict[str, Any]:
    row = _replacement_row(replacement)
    return {"replacement": row, "is_open": row.step in OPEN}


def _replacement_row(replacement: UUID) -> Replacement:
    rows = Replacement.objects.select_related("pool__model", "old", "new")
    row: Replacement = get_object_or_404(rows, pk=replacement)
    return row
