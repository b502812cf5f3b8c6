"""The request log: each request and its outcome, never its text."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from console.authorization import ConsoleRequest, twin_pages
from console.forms import ConsoleForm, MomentField
from console.paging import page
from inference.engines import served
from inference.models import Completion, State
from tenants.roles import Permission


class RequestFilter(ConsoleForm):
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("Every state")), *State.choices]
    )
    model = forms.CharField(
        label=_("Model"),
        required=False,
        widget=forms.TextInput(attrs={"list": "models", "placeholder": _("Every model")}),
    )
    since = MomentField(label=_("From"))
    until = MomentField(label=_("To"))
    id = forms.UUIDField(
        label=_("Request id"),
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "xxxxxxxx-xxxx-…"}),
    )

    LOOKUPS = {
        "state": "state",
        "model": "model",
        "since": "created_at__gte",
        "until": "created_at__lt",
        "id": "pk",
    }

    def lookups(self) -> dict[str, Any]:
        fields = self.cleaned_data if self.is_valid() else {}
        return {self.LOOKUPS[name]: value for name, value in fields.items() if value}


def _page(request: ConsoleRequest) -> HttpResponse:
    tenant, form = request.tenant, RequestFilter(request.GET)
    completions = tenant.completions.all() if tenant else Completion.objects.all()
    rows = completions.filter(**form.lookups()) if form.is_valid() else completions.none()
    rows_with_names = rows.select_related("tenant", "api_key", "member__user", "usage")
    context = {
        "form": form,
        "models": list(served()),
        "page": page(rows_with_names, "created_at", request.GET.get("cursor", "")),
        "filtered": bool(form.is_valid() and form.lookups()),
    }
    return render(request, "console/requests.html", context)


requests, all_requests = twin_pages(Permission.VIEW_REQUESTS, _page)
