"""Pages of limits: those of a tenant, with the origin of each figure, and those of the tiers."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.limits.limit_forms import LABELS, LimitsForm, TierForm, own_limits
from console.reported_acts import saved
from console.usage import figures
from tenants.models import Tenant, TierPolicy
from tenants.models.tier import LIMITS, Tier
from tenants.roles import Permission


@dataclass(frozen=True, slots=True)
class LimitRow:
    """An effective limit: 0 is none."""

    label: Promise
    value: int
    own: bool  # the tenant's own figure, not its tier's
    in_use: int | None
    use_label: str | Promise


@permitted(Permission.VIEW_LIMITS)
def limits(request: TenantRequest) -> HttpResponse:
    tenant = request.tenant
    if request.method == "POST" and not request.user.is_operator:
        raise PermissionDenied(_("Only operators of the platform can change limits."))
    form = LimitsForm(request.POST or None, tenant)
    if saved(form, lambda: tenant.change(by=request.actor, **form.cleaned_data)):
        messages.success(request, _("The limits are saved and apply from now on."))
        return redirect("console:limits", tenant=tenant.name)
    keys = tenant.api_keys.live().exclude(**dict.fromkeys(LIMITS)).order_by("name")
    context = {"form": form, "lines": _lines(tenant), "keys": keys}
    return render(request, "console/limits.html", context)


def _lines(tenant: Tenant) -> list[LimitRow]:
    live = figures.live(tenant)
    in_use = {
        "requests_per_minute": (live.requests_per_minute, _("settled in the last 60 s")),
        "max_concurrency": (live.in_progress, _("running or waiting")),
    }
    own = own_limits(tenant)
    return [
        LimitRow(
            LABELS[name], tenant.limit(name), own[name] is not None, *in_use.get(name, (None, ""))
        )
        for name in LIMITS
    ]


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
        if saved(form, lambda: policy.change(by=request.actor, **form.cleaned_data)):
            messages.success(request, _("The tier %(tier)s is saved.") % {"tier": policy})
            return redirect("console:tiers")
    tenants = Tenant.objects.values_list("tier").annotate(number=Count("id"))
    context: dict[str, Any] = {
        "cards": [(policies[name], form) for name, form in forms_of.items()],
        "tenants": dict(tenants.order_by()),
    }
    return render(request, "console/tiers.html", context)
