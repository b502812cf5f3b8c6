"""Page on which a model is added in one form, with a test of the connection to its engine."""

from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.core.cache import caches
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.trail.record import act
from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.post_only import require_POST
from console.reported_acts import saved
from console.serving.addition_form import ModelAdditionForm
from console.serving.capability_words import CAPABILITIES
from console.serving.connection_words import words
from inference.registry.connection import Report, examine

EVERY_S = 3  # between two tests of an operator: a form is no scanner of ports
_ASKED = ("kind", "url", "api_key", "hosted", "model")


@operators_only
@recently_proven
def addition(request: ConsoleRequest) -> HttpResponse:
    form = ModelAdditionForm(request.POST if request.method == "POST" else None)
    if model := saved(form, lambda: form.add(by=request.actor)):
        text = _("The model %(name)s has been added. Every process serves it within a second.")
        messages.success(request, text % {"name": model.name})
        return redirect("console:served_models")
    return render(request, "console/serving/addition.html", {"form": form})


@require_POST
@operators_only
@recently_proven
def connection_test(request: ConsoleRequest) -> HttpResponse:
    """Test the connection of the form's engine, and render what it says of itself."""
    form = _ConnectionForm(request.POST)
    if not form.is_valid():
        return _panel(request, problems=[e for errors in form.errors.values() for e in errors])
    if not caches["default"].add(f"connection-test:{request.user.pk}", "1", EVERY_S):
        return _panel(request, problems=[_("A test has just run. Wait a few seconds.")])
    fields = dict(form.cleaned_data)
    model = fields.pop("model")
    try:
        report: Report = async_to_sync(examine)(fields, model)
    except ValueError as problem:
        return _panel(request, problems=[str(problem)])
    _record(request, fields, report)
    return _panel(request, report=report, **_described(report))


class _ConnectionForm(ModelAdditionForm):
    """The part of the form that the test needs."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.fields = {name: self.fields[name] for name in _ASKED}
        self.fields["url"].required = True

    def clean(self) -> dict[str, Any]:
        return self.cleaned_data


def _record(request: ConsoleRequest, fields: dict[str, Any], report: Report) -> None:
    """Put the test on record: it reaches into a network. The key and the path are left out."""
    parts = urlsplit(fields["url"])
    detail = {"kind": fields["kind"], "host": parts.hostname or "", "port": str(parts.port or "")}
    act(
        Action.ENGINE_TEST,
        actor=request.actor,
        detail={**detail, "outcome": report.problem or "ok"},
    )


def _described(report: Report) -> dict[str, Any]:
    known = report.capabilities
    capabilities = [(text, known[name]) for name, text in CAPABILITIES.items() if name in known]
    proposed = {"model": report.model, "context_length": report.context_length or ""}
    return {
        "problems": [words(report)] if report.problem else [],
        "takes": capabilities,
        "proposed": proposed | {"slots": "auto" if report.slots else ""},
    }


def _panel(request: ConsoleRequest, **shown: Any) -> HttpResponse:
    return render(request, "console/serving/_connection.html", shown)
