"""Pages of new versions of an engine, for operators: begin, watch, cancel and roll back."""

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.serving.forms import KeyField, OptionsField, SlotsField, is_name, is_url
from inference.engine_entries import LONGEST_VERSION
from inference.models import Engine, Replacement
from inference.models.replacement import (
    LOAD_WITHIN_S,
    LONGEST_LOAD_S,
    MOST_WARM_UPS,
    OPEN,
    WARM_UPS,
)
from inference.registry.versions import proposed


class NewVersionForm(ConsoleForm):
    version = forms.CharField(
        label=_("Version"),
        required=False,
        max_length=LONGEST_VERSION,
        validators=[is_name],
        help_text=_("Answers name it. Empty: v2, v3 and so on."),
    )
    url = forms.CharField(
        label=_("Address"),
        required=False,
        max_length=500,
        validators=[is_url],
        help_text=_("Empty: the old one's, or of a server that Forebay starts."),
    )
    model_file = forms.CharField(
        label=_("Model file"),
        required=False,
        max_length=500,
        help_text=_("A GGUF file in a folder of FOREBAY_MODELS: Forebay starts its server."),
    )
    slots = SlotsField(required=False, help_text=_("Empty: as the old one has."))
    api_key = KeyField()
    options = OptionsField(
        label=_("Options as JSON"),
        required=False,
        help_text=_("They are added to those of the old one; null takes one away."),
    )
    warm_ups = forms.IntegerField(
        label=_("Answers that warm it up"),
        initial=WARM_UPS,
        min_value=0,
        max_value=MOST_WARM_UPS,
    )
    load_within_s = forms.IntegerField(
        label=_("Ready within (seconds)"),
        initial=LOAD_WITHIN_S,
        min_value=1,
        max_value=LONGEST_LOAD_S,
    )
    keeps_old = forms.BooleanField(
        label=_("Keep the old one for a rollback"),
        required=False,
        help_text=_("It takes no requests. One of FOREBAY_ENGINES is always kept."),
    )
    may_take_less = forms.BooleanField(
        label=_("It may take less"),
        required=False,
        help_text=_("Also with a shorter context, or without a capability of the old one."),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="version_%s")

    @property
    def settings(self) -> dict[str, Any]:
        """Returns the fields as the API takes them."""
        names = ("version", "url", "slots", "api_key")
        fields = {name: self.cleaned_data[name] for name in names if self.cleaned_data[name]}
        options = dict(self.cleaned_data["options"])
        if file := self.cleaned_data["model_file"]:
            options["launch"] = {"model": file}
        return {**fields, "options": options}

    @property
    def switch_options(self) -> dict[str, Any]:
        names = ("warm_ups", "load_within_s", "keeps_old", "may_take_less")
        return {name: self.cleaned_data[name] for name in names}


@operators_only
@recently_proven
def new_version(request: ConsoleRequest, engine: UUID) -> HttpResponse:
    row: Engine = get_object_or_404(Engine.objects.select_related("pool__model"), pk=engine)
    form = NewVersionForm(request.POST if request.method == "POST" else None)
    if replacement := saved(form, lambda: _begin(engine, form, request)):
        return redirect("console:replacement", replacement=replacement.pk)
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
    text = _("The new version is cancelled. The old one serves on.")
    return _call(request, replacement, "cancel", text)


@require_POST
@operators_only
def rollback(request: ConsoleRequest, replacement: UUID) -> HttpResponse:
    text = _("The old engine serves again. The new one finishes what it has.")
    return _call(request, replacement, "roll_back", text)


def _call(request: ConsoleRequest, pk: UUID, verb: str, text: Promise) -> HttpResponse:
    act = getattr(_replacement_row(pk), verb)
    return report_and_leave(request, act, text, "console:replacement", replacement=pk)


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
    return get_object_or_404(rows, pk=replacement)
