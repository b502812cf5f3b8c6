"""A new version of an engine: begun, watched, cancelled, rolled back. For operators."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from console.account.reauthentication import recently_proven
from console.acts_only import require_POST
from console.authorization import ConsoleRequest, operators_only
from console.serving.outcome import acted, saved
from console.serving.version_form import NewVersionForm
from inference.models import Engine, Replacement
from inference.models.replacement import OPEN
from inference.registry.versions import proposed


@operators_only
@recently_proven
def new_version(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    found: Engine = get_object_or_404(Engine.objects.select_related("pool__model"), pk=engine)
    form = NewVersionForm(request.POST if request.method == "POST" else None)
    begun: list[Replacement] = []
    if form.is_bound and form.is_valid():
        saved(form, lambda: begun.append(_begun(engine, form, request)))
    if begun and not form.errors:
        return redirect("console:replacement", replacement=begun[0].pk)
    context = {"engine": found, "form": form, "versions": Replacement.objects.of(found)[:10]}
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
    found = _found(replacement)
    said = _("The new version is cancelled. The old one serves on.")
    acted(request, lambda: found.cancel(by=request.actor), said)
    return redirect("console:replacement", replacement=replacement)


@require_POST
@operators_only
def rollback(request: ConsoleRequest, replacement: UUID) -> HttpResponse:
    found = _found(replacement)
    said = _("The old engine serves again. The new one finishes what it has.")
    acted(request, lambda: found.roll_back(by=request.actor), said)
    return redirect("console:replacement", replacement=replacement)


def _begun(engine: UUID, form: NewVersionForm, request: ConsoleRequest) -> Replacement:
    rows = Engine.objects.select_related("pool__model")
    locked = get_object_or_404(rows.select_for_update(of=("self",), no_key=True), pk=engine)
    name, fields = proposed(locked, form.given)
    return Replacement.begin(locked, name, fields, by=request.actor, **form.how)


def _context(replacement: UUID) -> dict[str, Any]:
    found = _found(replacement)
    return {"replacement": found, "is_open": found.step in OPEN}


def _found(replacement: UUID) -> Replacement:
    rows = Replacement.objects.select_related("pool__model", "old", "new")
    found: Replacement = get_object_or_404(rows, pk=replacement)
    return found
