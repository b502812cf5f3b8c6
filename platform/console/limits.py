"""A tenant's tier and limits: everybody in it may know them, operators change them."""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.door import TenantRequest, permitted
from console.forms import ConsoleForm
from tenants.models.tenant import Tier
from tenants.roles import Permission

MOST = 2**31 - 1


class LimitsForm(ConsoleForm):
    tier = forms.ChoiceField(label=gettext_lazy("Tier"), choices=Tier.choices)
    requests_per_minute = forms.IntegerField(
        label=gettext_lazy("Requests per minute"), min_value=0, max_value=MOST
    )
    burst = forms.IntegerField(
        label=gettext_lazy("Burst"),
        min_value=0,
        max_value=MOST,
        help_text=gettext_lazy("How many requests may come at one moment after a quiet time."),
    )
    max_concurrency = forms.IntegerField(
        label=gettext_lazy("Requests at once"), min_value=0, max_value=MOST
    )


@permitted(Permission.VIEW_USAGE)
def limits(request: TenantRequest) -> HttpResponse:
    tenant = request.tenant
    if request.method == "POST" and not request.user.is_operator:
        raise PermissionDenied(_("Only operators of the platform can change limits."))
    present = {name: getattr(tenant, name) for name in LimitsForm.base_fields}
    form = LimitsForm(request.POST or None, initial=present)
    if form.is_bound and form.is_valid():
        tenant.change(by=request.actor, **form.cleaned_data)
        messages.success(request, _("The limits are saved and apply from now on."))
        return redirect("console:limits", tenant=tenant.name)
    return render(request, "console/limits.html", {"form": form})
