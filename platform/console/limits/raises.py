"""Pages of temporary raises of a quota: one person asks, another approves or refuses."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.limits.quota_forms import RaiseForm
from console.limits.quotas import detail
from console.post_only import require_POST
from tenants.models import Quota, QuotaRaise
from tenants.models.quota_raise import (
    AlreadyDecided,
    Expired,
    OperatorsOnly,
    RaiseRefused,
    SamePerson,
)
from tenants.roles import Permission

RELATED = ("tenant", "quota__api_key", "quota__member__user", "requested_by", "decided_by")


@permitted(Permission.VIEW_LIMITS)
def raises(request: TenantRequest) -> HttpResponse:
    return _page(request, QuotaRaise.objects.of(request.tenant))


@operators_only
def all_raises(request: ConsoleRequest) -> HttpResponse:
    return _page(request, QuotaRaise.objects.all())


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def raise_request(request: TenantRequest, quota: UUID) -> HttpResponse:
    quotas = request.tenant.quotas.select_related("tenant", "api_key", "member__user")
    row: Quota = get_object_or_404(quotas, pk=quota)
    form = RaiseForm(request.POST, row.unit)
    if not form.is_valid():
        return detail(request, row, asking=form)
    fields = form.cleaned_data
    try:
        QuotaRaise.ask(
            row,
            fields["amount"],
            fields["reason"],
            fields["expires_at"],
            user=request.user,
            by=request.actor,
        )
    except ValidationError as problem:
        form.refuse(problem)
        return detail(request, row, asking=form)
    messages.success(request, _("The raise has been requested. Another person has to approve it."))
    return redirect("console:raises", tenant=request.tenant.name)


@require_POST
@permitted(Permission.APPROVE_RAISES)
@recently_proven
def raise_approval(request: TenantRequest, quota_raise: UUID) -> HttpResponse:
    row = _quota_raise(request, quota_raise)
    try:
        row.approve(user=request.user, by=request.actor)
        messages.success(request, _("Approved. The raise applies from the next request on."))
    except RaiseRefused as problem:
        messages.error(request, _refusal_text(problem))
    return _back(request)


@require_POST
@permitted(Permission.APPROVE_RAISES)
def raise_refusal(request: TenantRequest, quota_raise: UUID) -> HttpResponse:
    row = _quota_raise(request, quota_raise)
    try:
        row.refuse(user=request.user, by=request.actor)
        messages.success(request, _("Refused."))
    except RaiseRefused as problem:
        messages.error(request, _refusal_text(problem))
    return _back(request)


def _quota_raise(request: TenantRequest, quota_raise: UUID) -> QuotaRaise:
    raises = QuotaRaise.objects.of(request.tenant).select_related(*RELATED)
    row: QuotaRaise = get_object_or_404(raises, pk=quota_raise)
    return row


def _refusal_text(problem: RaiseRefused) -> str:
    if isinstance(problem, SamePerson):
        return _("You cannot decide on your own request.")
    if isinstance(problem, Expired):
        return _("This raise would already have ended. Ask for a new one.")
    if isinstance(problem, OperatorsOnly):
        return _("The platform has set this quota: an operator decides about it.")
    assert isinstance(problem, AlreadyDecided)
    return _("This request has already been decided.")


def _back(request: TenantRequest) -> HttpResponse:
    """Redirect to the list from which it was decided."""
    if request.user.is_operator and request.POST.get("back") == "all":
        return redirect("console:all_raises")
    return redirect("console:raises", tenant=request.tenant.name)


def _page(request: ConsoleRequest, raises: QuerySet[QuotaRaise]) -> HttpResponse:
    rows = raises.select_related(*RELATED)
    waiting = QuotaRaise.objects.waiting().values("pk")
    holding = QuotaRaise.objects.holding().values("pk")
    context = {
        "waiting": rows.filter(pk__in=waiting).order_by("requested_at"),
        "holding": rows.filter(pk__in=holding).order_by("expires_at"),
        "past": rows.exclude(pk__in=waiting).exclude(pk__in=holding).order_by("-requested_at")[:20],
    }
    return render(request, "console/quotas/raises.html", context)
