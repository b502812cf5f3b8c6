"""Page of the sessions of agents and other clients: what each took, and a file of them."""

from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from inference.usage import export
from inference.usage import sessions as usage
from inference.usage.report import Dimension, names
from tenants.models import Tenant
from tenants.roles import Permission

_RANGES = {"24h": _("Last 24 hours"), "7d": _("Last 7 days"), "30d": _("Last 30 days")}
_SORTS = {
    "cost": _("Cost"),
    "tokens": _("Tokens"),
    "requests": _("Requests"),
    "last_at": _("Last request"),
}


class SessionFilter(ConsoleForm):
    range = forms.ChoiceField(label=_("Time"), required=False, choices=list(_RANGES.items()))
    sort = forms.ChoiceField(label=_("Highest first"), required=False, choices=list(_SORTS.items()))
    session = forms.UUIDField(
        label=_("Session"), required=False, help_text=_("As x-forebay-session of an answer")
    )

    def __init__(self, data: Any) -> None:
        preset = {"range": "7d", "sort": "cost"}
        super().__init__({**preset, **{name: value for name, value in data.items() if value}})

    @property
    def question(self) -> tuple[str, str, UUID | None]:
        fields = self.cleaned_data
        return fields["range"], fields["sort"], fields["session"]


@permitted(Permission.VIEW_USAGE)
def sessions(request: TenantRequest) -> HttpResponse:
    form = SessionFilter(request.GET)
    rows = usage.top(request.tenant, *form.question) if form.is_valid() else []
    context = {
        "form": form,
        "lines": list(zip(rows, _names(rows, request.tenant), strict=True)),
        "most": usage.MOST,
        "query": request.GET.urlencode(),
        "forms": export.FORMATS,
    }
    return render(request, "console/usage/sessions.html", context)


def _names(rows: list[usage.SessionUsage], tenant: Tenant) -> list[list[str]]:
    """Returns who sent the requests of each session: keys, or a member in the chat."""
    keys = names(Dimension.KEY, [pk for row in rows for pk in row.own_keys], tenant)
    members = names(Dimension.MEMBER, [pk for row in rows for pk in row.own_members], tenant)
    return [
        [keys[pk].text for pk in row.own_keys] or [members[pk].text for pk in row.own_members]
        for row in rows
    ]


@permitted(Permission.VIEW_USAGE)
def export_sessions(request: TenantRequest) -> HttpResponse:
    """Record the export and return it."""
    question, form = SessionFilter(request.GET), request.GET.get("format", "csv")
    if form not in export.FORMATS or not question.is_valid():
        raise Http404
    span, sort, session = question.question
    name = f"sessions-{request.tenant.name}-{span}.{form}"
    act(
        Action.USAGE_EXPORT,
        actor=request.actor,
        tenant_id=request.tenant.id,
        detail={"file": name},
    )
    content = usage.exported(usage.top(request.tenant, span, sort, session), form)
    return downloads.file(content, name, export.FORMATS[form])
