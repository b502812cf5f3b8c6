"""Page of the tiers: limits of tenants that have no figures of their own. Operators set them."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.forms import ConsoleForm, LimitField
from console.limits.tenant_limits import LABELS
from tenants.models import Tenant, TierPolicy
from tenants.models.tier import LIMITS, Tier


class TierForm(ConsoleForm):
    weight = forms.IntegerField(
        label=gettext_lazy("Weight"),
        min_value=1,
        max_value=100,
        help_text=gettext_lazy("Share of the GPUs relative to other tenants."),
    )
    requests_per_minute = LimitField(label=LABELS["requests_per_minute"], required=True)
    burst = LimitField(label=LABELS["burst"], required=True)
    tokens_per_minute = LimitField(label=LABELS["tokens_per_minute"], required=True)
    max_concurrency = LimitField(label=LABELS["max_concurrency"], required=True)
    megabytes_in_flight = LimitField(label=LABELS["megabytes_in_flight"], required=True)
    megabytes_per_day = LimitField(label=LABELS["megabytes_per_day"], required=True)

    def __init__(self, data: Any, policy: TierPolicy) -> None:
        present = {name: getattr(policy, name) for name in ("weight", *LIMITS)}
        super().__init__(data, initial=present, auto_id=f"id_{policy.tier}_%s")


@operators_only
@recently_proven
def tiers(request: ConsoleRequest) -> HttpResponse:
    policies = {tier.value: TierPolicy.objects.of(tier) for tier in Tier}
    forms_of = {name: TierForm(None, policy) for name, policy in policies.items()}
    if request.method == "POST":
        policy = policies.get(request.POST.get("tier", ""))
        if policy is None:
            raise Http404
        form = forms_of[policy.tier] = TierForm(request.POST, policy)
        if form.is_valid() and _try_save(request, policy, form):
            return redirect("console:tiers")
    tenants = Tenant.objects.values_list("tier").annotate(number=Count("id"))
    context = {
        "cards": [(policies[name], form) for name, form in forms_of.items()],
        "tenants": dict(tenants.order_by()),
    }
    return render(request, "console/tiers.html", context)


def _try_save(request: ConsoleRequest, policy: TierPolicy, form: TierForm) -> bool:
    try:
        policy.change(by=request.actor, **form.cleaned_data)
    except ValidationError as problem:
        form.refuse(problem)
        return False
    messages.success(request, _("The tier %(tier)s is saved.") % {"tier": policy})
    return True
