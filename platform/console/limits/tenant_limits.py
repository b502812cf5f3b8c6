"""Page of a tenant's tier and effective limits: the origin of each figure, and the present use."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm, LimitField
from console.usage import figures
from tenants.models import Tenant
from tenants.models.tier import LIMITS, Tier
from tenants.roles import Permission

LABELS: dict[str, Promise] = {
    "requests_per_minute": gettext_lazy("Requests per minute"),
    "burst": gettext_lazy("Burst"),
    "tokens_per_minute": gettext_lazy("Tokens per minute"),
    "max_concurrency": gettext_lazy("Requests at once"),
    "megabytes_in_flight": gettext_lazy("Megabytes in flight"),
    "megabytes_per_day": gettext_lazy("Megabytes stored per day"),
}


class LimitsForm(ConsoleForm):
    tier = forms.ChoiceField(label=gettext_lazy("Tier"), choices=Tier.choices)
    requests_per_minute = LimitField(label=LABELS["requests_per_minute"])
    burst = LimitField(
        label=LABELS["burst"],
        help_text=gettext_lazy("How many requests may arrive at once after a quiet period."),
    )
    tokens_per_minute = LimitField(
        label=LABELS["tokens_per_minute"],
        help_text=gettext_lazy("Prompt and answer together."),
    )
    max_concurrency = LimitField(label=LABELS["max_concurrency"])
    megabytes_in_flight = LimitField(
        label=LABELS["megabytes_in_flight"],
        help_text=gettext_lazy("Total size of the requests that have not been answered yet."),
    )
    megabytes_per_day = LimitField(
        label=LABELS["megabytes_per_day"],
        help_text=gettext_lazy("Total size of the requests and answers that are stored."),
    )

    def __init__(self, data: Any, tenant: Tenant) -> None:
        super().__init__(data, initial={"tier": tenant.tier, **_own(tenant)})
        for name in LIMITS:
            self.fields[name].widget.attrs["placeholder"] = getattr(tenant.policy, name)


@dataclass(frozen=True, slots=True)
class Line:
    """An effective limit: 0 is none."""

    label: Promise
    value: int
    own: bool  # the tenant's own figure, not its tier's
    in_use: int | None
    use_label: str


@permitted(Permission.VIEW_LIMITS)
def limits(request: TenantRequest) -> HttpResponse:
    tenant = request.tenant
    if request.method == "POST" and not request.user.is_operator:
        raise PermissionDenied(_("Only operators of the platform can change limits."))
    form = LimitsForm(request.POST or None, tenant)
    if form.is_bound and form.is_valid():
        tenant.change(by=request.actor, **form.cleaned_data)
        messages.success(request, _("The limits are saved and apply from now on."))
        return redirect("console:limits", tenant=tenant.name)
    keys = tenant.api_keys.live().exclude(**dict.fromkeys(LIMITS)).order_by("name")
    context = {"form": form, "lines": _lines(tenant), "keys": keys}
    return render(request, "console/limits.html", context)


def _lines(tenant: Tenant) -> list[Line]:
    live = figures.live(tenant)
    in_use = {
        "requests_per_minute": (live.requests_per_minute, _("settled in the last 60 s")),
        "max_concurrency": (live.in_progress, _("running or waiting")),
    }
    own = _own(tenant)
    return [
        Line(LABELS[name], tenant.limit(name), own[name] is not None, *in_use.get(name, (None, "")))
        for name in LIMITS
    ]


def _own(tenant: Tenant) -> dict[str, int | None]:
    return {name: getattr(tenant, name) for name in LIMITS}
