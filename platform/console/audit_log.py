"""The audit list: who did what, when and from where. Texts of requests are never shown here."""

from django import forms
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from audit.models import Event
from console.actors import Actors, actors_named
from console.audit_words import REQUESTS, WORDS
from console.door import ConsoleRequest, TenantRequest, operators_only, permitted
from console.forms import ConsoleForm, MomentField
from console.paging import page
from tenants.roles import Permission

ACTS = "acts"


class AuditFilter(ConsoleForm):
    who = forms.CharField(
        label=_("Who"),
        required=False,
        widget=forms.TextInput(attrs={"placeholder": _("Email address or key name")}),
    )
    action = forms.ChoiceField(
        label=_("What"),
        required=False,
        choices=[
            ("", _("Everything")),
            (ACTS, _("Actions, without requests")),
            *[(str(action), word) for action, word in WORDS.items()],
        ],
    )
    since = MomentField(label=_("From"))
    until = MomentField(label=_("To"))


@permitted(Permission.VIEW_AUDIT)
def audit(request: TenantRequest) -> HttpResponse:
    return _page(request, Event.objects.of_tenant(request.tenant.id))


@operators_only
def all_audit(request: ConsoleRequest) -> HttpResponse:
    return _page(request, Event.objects.all())


def _page(request: ConsoleRequest, events: QuerySet[Event]) -> HttpResponse:
    form = AuditFilter(request.GET)
    found = _filtered(request, form, events) if form.is_valid() else events.none()
    shown = page(found, "at", request.GET.get("cursor", ""))
    actors = Actors.of(shown.rows, request.tenant)
    lines = [
        (event, WORDS[event.action], actors.name(event.actor), actors.particulars(event))
        for event in shown.rows
    ]
    context = {
        "form": form,
        "page": shown,
        "lines": lines,
        "filtered": any(form.cleaned_data.values()) if form.is_valid() else True,
    }
    return render(request, "console/audit.html", context)


def _filtered(
    request: ConsoleRequest, form: AuditFilter, events: QuerySet[Event]
) -> QuerySet[Event]:
    given = form.cleaned_data
    if given["who"]:
        events = events.filter(actor__in=actors_named(given["who"], request.tenant))
    if given["action"] == ACTS:
        events = events.exclude(action__in=REQUESTS)
    elif given["action"]:
        events = events.filter(action=given["action"])
    if given["since"]:
        events = events.filter(at__gte=given["since"])
    if given["until"]:
        events = events.filter(at__lt=given["until"])
    return events
