"""Pages of a tenant's quotas: used and reserved amounts, and when each window begins anew."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import TenantRequest, permitted
from console.limits.quota_forms import LimitForm, QuotaForm, RaiseForm, from_count
from console.post_only import require_POST
from console.quota_lines import Line, lines
from tenants.models import Quota
from tenants.models.quota import SetByPlatform
from tenants.roles import Permission

_SET_BY_PLATFORM = gettext_lazy("The platform has set this quota: ask for a raise.")


@permitted(Permission.VIEW_LIMITS)
def quotas(request: TenantRequest) -> HttpResponse:
    form = QuotaForm(request.POST or None, request.tenant)
    if request.method == "POST":
        _refuse_unless_manager(request)
        if form.is_valid() and _try_set(request, form):
            messages.success(request, _("The quota has been set and applies from now on."))
            return redirect("console:quotas", tenant=request.tenant.name)
    notices = request.tenant.quota_notices.select_related("quota__api_key", "quota__member__user")
    context = {
        "form": form,
        "lines": lines(request.tenant, request.tenant.quotas.all()),
        "notices": notices.order_by("-at")[:10],
    }
    return render(request, "console/quotas/page.html", context)


@permitted(Permission.VIEW_LIMITS)
def quota(request: TenantRequest, quota: UUID) -> HttpResponse:
    row = _quota(request, quota)
    if request.method != "POST":
        return detail(request, row)
    _refuse_unless_manager(request)
    _refuse_platform_quota(request, row)
    form = LimitForm(request.POST, row.unit)
    if not form.is_valid():
        return detail(request, row, form=form)
    limit, platform = form.cleaned_data["limit"], request.user.is_operator
    row.change(limit, by=request.actor, platform=platform)
    messages.success(request, _("The quota has been changed and applies from now on."))
    return redirect("console:quota", tenant=request.tenant.name, quota=quota)


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def quota_drop(request: TenantRequest, quota: UUID) -> HttpResponse:
    row = _quota(request, quota)
    _refuse_platform_quota(request, row)
    row.drop(by=request.actor, platform=request.user.is_operator)
    messages.success(request, _("The quota has been deleted. Its usage record is kept."))
    return redirect("console:quotas", tenant=request.tenant.name)


def detail(request: TenantRequest, quota: Quota, **shown: Any) -> HttpResponse:
    limit = from_count(quota.limit, quota.unit).normalize()
    raises = quota.raises.select_related("requested_by", "decided_by")
    context = {
        "quota": quota,
        "line": Line(quota, quota.balance()),
        "raises": raises.order_by("-requested_at")[:20],
        "notices": quota.notices.order_by("-at")[:10],
        "form": LimitForm(None, quota.unit, initial={"limit": f"{limit:f}"}),
        "asking": RaiseForm(None, quota.unit),
        "may_change": request.user.is_operator or not quota.set_by_platform,
        **shown,
    }
    return render(request, "console/quotas/quota.html", context)


def _quota(request: TenantRequest, quota: UUID) -> Quota:
    quotas = request.tenant.quotas.select_related("tenant", "api_key", "member__user")
    row: Quota = get_object_or_404(quotas, pk=quota)
    return row


def _try_set(request: TenantRequest, form: QuotaForm) -> bool:
    fields = form.cleaned_data
    try:
        Quota.set(
            request.tenant,
            unit=fields["unit"],
            window=fields["window"],
            limit=fields["limit"],
            by=request.actor,
            platform=request.user.is_operator,
            **form.quota_scope(request.tenant),
        )
    except ValidationError as problem:
        form.refuse(problem)
        return False
    except SetByPlatform:
        form.add_error(None, _SET_BY_PLATFORM)
        return False
    return True


def _refuse_platform_quota(request: TenantRequest, quota: Quota) -> None:
    if quota.set_by_platform and not request.user.is_operator:
        raise PermissionDenied(_SET_BY_PLATFORM)


def _refuse_unless_manager(request: TenantRequest) -> None:
    if Permission.MANAGE_QUOTAS not in request.permissions:
        raise PermissionDenied(_("Your role can see quotas but not set them."))
