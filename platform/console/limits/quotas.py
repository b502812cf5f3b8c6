"""Pages of a tenant's quotas, with their present use, and of their temporary raises."""

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.limits.quota_forms import LimitForm, QuotaForm, RaiseForm
from console.post_only import require_POST
from console.quota_amounts import from_count
from console.quota_lines import RELATED as OF_QUOTAS
from console.quota_lines import QuotaLine, lines, lines_of
from console.reported_acts import act_and_report, report_and_leave, saved
from console.tables import Column, Table
from tenants.models import Quota, QuotaRaise
from tenants.models.quotas.quota import SetByPlatform
from tenants.models.quotas.quota_raise import AlreadyDecided, Expired, OperatorsOnly, SamePerson
from tenants.roles import Permission

_SET_BY_PLATFORM = _("The platform has set this quota: ask for an increase.")
FULLEST = 5  # shown above the table of more of them


def _scope(quota: Any) -> str:
    return str(quota.scope or _("The whole tenant"))


QUOTAS = Table(
    "quotas",
    {
        "for": Column(_("For"), _scope, "scope"),
        "counts": Column(_("Counts"), lambda quota: quota.get_unit_display(), "unit"),
        "window": Column(_("Window"), "window", file_only=True),
        "limit": Column(
            _("At most"), lambda quota: from_count(quota.limit, quota.unit), "limit", numbers=True
        ),
        "used": Column(_("Used")),
        "resets": Column(_("Resets")),
    },
    order="for",
    search=("scope",),
)


@permitted(Permission.VIEW_LIMITS)
def quotas(request: TenantRequest) -> HttpResponse:
    rows = _with_scope(request.tenant.quotas.all())
    if file := QUOTAS.file(request, rows):
        return file
    form = QuotaForm(request.POST or None, request.tenant)
    if request.method == "POST":
        _refuse_unless_manager(request)
        if saved(form, lambda: _set(request, form), {SetByPlatform: _SET_BY_PLATFORM}):
            messages.success(request, _("The quota has been set and applies from now on."))
            return redirect("console:quotas", tenant=request.tenant.name)
    notices = request.tenant.quota_notices.select_related(
        "quota__api_key", "quota__member__user", "quota__team"
    )
    table = QUOTAS.shown(request, rows.select_related(*OF_QUOTAS))
    more = table.older or len(table.rows) > FULLEST
    context = {
        "form": form,
        "table": table,
        "lines": lines_of(request.tenant, table.rows),
        "fullest": lines(request.tenant, request.tenant.quotas.all())[:FULLEST] if more else [],
        "notices": notices.order_by("-at")[:10],
    }
    return render(request, "console/quotas/page.html", context)


def _with_scope(rows: QuerySet[Any], quota: str = "") -> QuerySet[Any]:
    """Annotates the name of what each quota is for, "" for the whole tenant.

    `quota` is where a row has its quota, such as `quota__`.
    """
    names = ("api_key__name", "member__user__email", "team__name", "model")
    fields = (f"{quota}{name}" for name in names)
    named: QuerySet[Any] = rows.annotate(scope=Coalesce(*fields, output_field=CharField()))
    return named


@permitted(Permission.VIEW_LIMITS)
def quota(request: TenantRequest, quota: UUID) -> HttpResponse:
    row = _quota(request, quota)
    if request.method != "POST":
        return detail(request, row)
    _refuse_unless_manager(request)
    _refuse_platform_quota(request, row)
    form = LimitForm(request.POST, row.unit)
    change = partial(row.change, by=request.actor, platform=request.user.is_operator)
    refusals = {SetByPlatform: _SET_BY_PLATFORM}
    if not saved(form, lambda: change(form.cleaned_data["limit"]), refusals):
        return detail(request, row, form=form)
    messages.success(request, _("The quota has been changed and applies from now on."))
    return redirect("console:quota", tenant=request.tenant.name, quota=quota)


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def quota_drop(request: TenantRequest, quota: UUID) -> HttpResponse:
    row = _quota(request, quota)
    _refuse_platform_quota(request, row)
    act = partial(row.drop, platform=request.user.is_operator)
    text = _("The quota has been deleted. Its usage record is kept.")
    refusals = {SetByPlatform: _SET_BY_PLATFORM}
    return report_and_leave(request, act, text, "console:quotas", refusals)


def detail(request: TenantRequest, quota: Quota, **shown: Any) -> HttpResponse:
    limit = from_count(quota.limit, quota.unit).normalize()
    raises = quota.raises.select_related("requested_by", "decided_by")
    context = {
        "quota": quota,
        "line": QuotaLine(quota, quota.balance()),
        "raises": raises.order_by("-requested_at")[:20],
        "notices": quota.notices.order_by("-at")[:10],
        "form": LimitForm(None, quota.unit, initial={"limit": f"{limit:f}"}),
        "asking": RaiseForm(None, quota.unit),
        "may_change": request.user.is_operator or not quota.set_by_platform,
        **shown,
    }
    return render(request, "console/quotas/quota.html", context)


def _quota(request: TenantRequest, quota: UUID) -> Quota:
    quotas = request.tenant.quotas.select_related("tenant", "api_key", "member__user", "team")
    return get_object_or_404(quotas, pk=quota)


def _set(request: TenantRequest, form: QuotaForm) -> Quota:
    fields = {name: form.cleaned_data[name] for name in ("unit", "window", "limit")}
    fields |= form.quota_scope(request.tenant)
    platform = request.user.is_operator
    return Quota.set(request.tenant, by=request.actor, platform=platform, **fields)


def _refuse_platform_quota(request: TenantRequest, quota: Quota) -> None:
    if quota.set_by_platform and not request.user.is_operator:
        raise PermissionDenied(_SET_BY_PLATFORM)


def _refuse_unless_manager(request: TenantRequest) -> None:
    if Permission.MANAGE_QUOTAS not in request.permissions:
        raise PermissionDenied(_("Your role can see quotas but not set them."))


# Raises: one person asks, another approves or refuses --------------------------------------------
REFUSALS = {
    SamePerson: _("You cannot decide on your own request."),
    Expired: _("This increase would already have ended. Ask for a new one."),
    OperatorsOnly: _("The platform has set this quota: an operator decides about it."),
    AlreadyDecided: _("This request has already been decided."),
}
RELATED = (
    "tenant",
    "quota__api_key",
    "quota__member__user",
    "quota__team",
    "requested_by",
    "decided_by",
)


_RAISE_COLUMNS = {
    "quota": Column(_("Quota"), lambda asked: _scope(asked), "scope"),
    "counts": Column(_("Counts"), lambda asked: asked.quota.get_unit_display(), file_only=True),
    "window": Column(_("Window"), "quota.window", file_only=True),
    "more": Column(
        pgettext_lazy("amount", "More"),
        lambda asked: from_count(asked.amount, asked.quota.unit),
        "amount",
        numbers=True,
    ),
    "reason": Column(_("Reason"), "reason", "reason"),
    "by": Column(_("Asked by"), lambda asked: asked.requested_by or "", "requested_at"),
    "asked": Column(_("Asked for"), "requested_at", file_only=True),
    "until": Column(_("Until"), "expires_at", "expires_at"),
    "state": Column(_("State"), lambda asked: asked.get_state_display(), "state"),
    "decided_by": Column(_("Decided by"), lambda asked: asked.decided_by or "", file_only=True),
}
RAISES = Table("raises", _RAISE_COLUMNS, order="-by", search=("scope", "reason"))
ALL_RAISES = Table(
    "all-raises",
    {"tenant": Column(_("Tenant"), "tenant.name", "tenant__name"), **_RAISE_COLUMNS},
    order="-by",
    search=("scope", "reason", "tenant__name"),
)


def _raises(request: ConsoleRequest) -> HttpResponse:
    """Render those of the tenant, or of all where there is none in the address."""
    rows = QuotaRaise.objects.of(request.tenant) if request.tenant else QuotaRaise.objects.all()
    rows = rows.select_related(*RELATED)
    table = RAISES if request.tenant else ALL_RAISES
    waiting = QuotaRaise.objects.waiting().values("pk")
    holding = QuotaRaise.objects.holding().values("pk")
    shown = {
        "waiting": rows.filter(pk__in=waiting).order_by("requested_at"),
        "holding": rows.filter(pk__in=holding).order_by("expires_at"),
    }
    return table.page(request, _with_scope(rows, "quota__"), "console/quotas/raises.html", **shown)


raises = permitted(Permission.VIEW_LIMITS)(_raises)
all_raises = operators_only(_raises)


@require_POST
@permitted(Permission.MANAGE_QUOTAS)
def raise_request(request: TenantRequest, quota: UUID) -> HttpResponse:
    quotas = request.tenant.quotas.select_related("tenant", "api_key", "member__user", "team")
    row: Quota = get_object_or_404(quotas, pk=quota)
    form = RaiseForm(request.POST, row.unit)
    ask = partial(QuotaRaise.ask, row, user=request.user, by=request.actor)
    if not saved(form, lambda: ask(**form.cleaned_data)):
        return detail(request, row, asking=form)
    messages.success(
        request, _("The increase has been requested. Another person has to approve it.")
    )
    return redirect("console:raises", tenant=request.tenant.name)


@require_POST
@permitted(Permission.APPROVE_RAISES)
@recently_proven
def raise_approval(request: TenantRequest, quota_raise: UUID) -> HttpResponse:
    text = _("Approved. The increase applies from the next request on.")
    return _decide(request, quota_raise, "approve", text)


@require_POST
@permitted(Permission.APPROVE_RAISES)
def raise_refusal(request: TenantRequest, quota_raise: UUID) -> HttpResponse:
    return _decide(request, quota_raise, "refuse", _("Refused."))


def _decide(request: TenantRequest, pk: UUID, verb: str, text: Promise) -> HttpResponse:
    """Decide, and redirect to the list from which it was decided."""
    row = get_object_or_404(QuotaRaise.objects.of(request.tenant).select_related(*RELATED), pk=pk)
    act_and_report(request, partial(getattr(row, verb), user=request.user), text, REFUSALS)
    if request.user.is_operator and request.POST.get("back") == "all":
        return redirect("console:all_raises")
    return redirect("console:raises", tenant=request.tenant.name)
